"""Memory of the web process while clients upload at once: 100 files of 0.9 MB each, then 100 photos of 12 megapixels.

With --no-temporary-folder (Linux, root) every place for temporary files is read-only.
"""

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from PIL import Image

from bench.throughput import PROJECT, SAMPLES, START_SECONDS, free_port, is_ready, wait_until

CLIENTS = 4
FILES = 100
BOUNDARY = "upload-memory"
READ_ONLY = "for d in /tmp /var/tmp /usr/tmp; do [ -d $d ] && mount -t tmpfs -o ro none $d; done; exec "
CHUNK_BYTES = 2**20


def photo(width: int, height: int, least_bytes: int) -> bytes:
    """A JPEG of that size in pixels, padded behind its end to at least so many bytes."""
    buffer = io.BytesIO()
    with Image.open(SAMPLES / "astronaut.jpg") as sample:
        sample.convert("RGB").resize((width, height)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue().ljust(least_bytes, b"\0")


def body(picture: bytes, client: int) -> Iterator[bytes]:
    """A multipart body of FILES pictures, each with other bytes at its end."""
    for number in range(FILES):
        yield (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{number}.jpg"\r\n\r\n'
        ).encode()
        for start in range(0, len(picture), CHUNK_BYTES):
            yield picture[start : start + CHUNK_BYTES]
        yield f"{client}-{number}\r\n".encode()
    yield f"--{BOUNDARY}--\r\n".encode()


def submit(url: str, picture: bytes, client: int) -> None:
    answer = requests.post(
        f"{url}/queue/submit",
        data=body(picture, client),
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=3600,
    )
    if answer.status_code != 202:
        sys.exit(f"refused: {answer.text}")


def memory_mib(pid: int, field: str) -> float:
    """VmRSS now, or VmHWM: the most there ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    sys.exit(f"no {field} in the status of process {pid}")


def upload(url: str, picture: bytes, pid: int) -> str:
    begin = time.perf_counter()
    clients = [threading.Thread(target=submit, args=(url, picture, client)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - begin
    total = CLIENTS * FILES * len(picture) / 2**20
    return (
        f"{CLIENTS} clients x {FILES} files of {len(picture) / 2**20:.1f} MiB: {total / seconds:.0f} MiB/s, "
        f"peak so far {memory_mib(pid, 'VmHWM'):.0f} MiB, now {memory_mib(pid, 'VmRSS'):.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-temporary-folder", action="store_true")
    parser.add_argument("--data-dir", default=".", help="where a temporary data directory is made")
    options = parser.parse_args()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = f"{sys.executable} -m uvicorn app:app --port {port}"
    wrapped = (
        ["unshare", "--mount", "sh", "-c", READ_ONLY + command] if options.no_temporary_folder else command.split()
    )
    with tempfile.TemporaryDirectory(dir=options.data_dir) as data_dir:
        settings = {"QUEUE_DATA_DIR": data_dir, "QUEUE_DEFAULT_MODEL": "u2netp", "QUEUE_LOG_LEVEL": "WARNING"}
        process = subprocess.Popen(wrapped, cwd=PROJECT, env={**os.environ, **settings, "QUEUE_DRAIN_SECONDS": "0"})
        try:
            wait_until(lambda: is_ready(url), START_SECONDS)
            print(f"idle and warm: {memory_mib(process.pid, 'VmRSS'):.0f} MiB")
            print(upload(url, photo(1024, 768, 900_000), process.pid))
            print(upload(url, photo(4000, 3000, 5_000_000), process.pid))
            stats = requests.get(f"{url}/queue/stats", timeout=10).json()
            print(f"every core was busy meanwhile: {stats}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    main()
