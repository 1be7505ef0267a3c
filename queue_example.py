"""Command line of the queue: submit pictures, follow jobs, fetch results. Speaks HTTP only."""

import argparse
import glob
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text
from urllib3.exceptions import NewConnectionError
from urllib3.fields import RequestField

Json = dict[str, Any]
Picture = tuple[Path, Path]  # a file to submit, and where its result belongs below the output folder
JOB_BYTES = 256 * 2**20  # small enough that the first pictures are worked on while others still travel
PART_BYTES = 2048  # room for the multipart headers of a picture with the longest file name
CHUNK_BYTES, TIMEOUT_SECONDS, PATIENCE_SECONDS, RESEND_PAUSES = 2**16, 120, {409: 60, 429: 900, 503: 60}, (1, 4)
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
EXTENSIONS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
STYLES = {"pending": "", "processing": "cyan", "completed": "green", "failed": "red", "cancelled": "yellow"}


class Trouble(Exception):
    """What was asked for cannot be done; the message is a sentence for people."""


def explain(error: Trouble | OSError, url: str) -> str:
    """An error as one sentence for people."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return f"No service answers at {url}. Start it with `make run`, or name another address with --url."
    if isinstance(error, LOST):
        return f"The connection to {url} was lost. What was queued goes on: see `list`."
    words = getattr(error, "strerror", None)
    return f"{getattr(error, 'filename', '') or 'Writing a result'}: {words}." if words else str(error)


def clean(text: object) -> str:
    """Text from outside made safe for a terminal: control and invisible characters are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts img2 before img10."""
    return [(int(w), "") if w.isdecimal() else (-1, w) for w in re.split(r"(\d+)", path.as_posix().casefold())]


class Screen:
    """Answers go to stdout, trouble to stderr; plain in a pipe or with NO_COLOR; with --json only JSON on stdout."""

    def __init__(self, as_json: bool) -> None:
        self.as_json, self.out, self.err = as_json, Console(stderr=as_json), Console(stderr=True)
        self.live = self.out.is_terminal and not self.out.no_color
        if self.live and self.err.is_terminal:
            self.err = self.out  # one console for one terminal, or a sentence would land inside a progress bar

    def line(self, text: object, style: str = "") -> None:
        if not self.as_json:
            self.out.print(Text(clean(text), style), soft_wrap=True)

    def trouble(self, text: object, style: str = "red") -> None:
        self.err.print(Text(clean(text), style), soft_wrap=True)

    def failures(self, entries: Sequence[Json]) -> None:
        for entry in entries:
            self.trouble(f"{entry['filename']}: {entry.get('reason') or entry.get('error') or entry['status']}")

    def answer(self, document: Json) -> bool:
        if self.as_json:
            print(json.dumps(document), flush=True)
        return True

    def job(self, job: Json, more: str = "") -> None:
        failed = f", {count} failed" if (count := job["progress"]["failed"]) else ""
        note = f" ({words})" if (words := job.get("phase_detail") or job.get("error")) else ""
        counts = "{processed} of {total} done".format_map(job["progress"]) + failed + note
        self.line(f"{job['id']}  {job['status']:<10}  {counts}{more}", STYLES.get(job["status"], ""))

    def bar(self, column: type[DownloadColumn | MofNCompleteColumn]) -> Progress:
        words = TextColumn("{task.description}", markup=False)
        return Progress(words, BarColumn(), column(), console=self.out, transient=True, disable=not self.live)


class Upload:
    """Files as one multipart body, read piece by piece; requests makes Content-Length of `len`, which is exact."""

    def __init__(self, paths: Sequence[Path], advance: Callable[[int], object]) -> None:
        self.key, self.advance, self.done = os.urandom(16).hex(), advance, 0
        fields = [RequestField.from_tuples("images", (path.name, "", "application/octet-stream")) for path in paths]
        heads = [f"\r\n--{self.key}\r\n{field.render_headers()}".encode("utf-8", "replace") for field in fields]
        self.parts = [(path, path.stat().st_size, head) for path, head in zip(paths, heads, strict=True)]
        self.end = f"\r\n--{self.key}--\r\n".encode()
        self.len = sum(len(head) + size for _, size, head in self.parts) + len(self.end)

    def __iter__(self) -> Iterator[bytes]:
        self.advance(-self.done)  # it is sent again after a 429 or a lost connection
        self.done = 0
        for path, left, head in self.parts:
            yield head
            try:
                with path.open("rb") as file:
                    while left and (piece := file.read(min(CHUNK_BYTES, left))):
                        yield piece
                        left, self.done = left - len(piece), self.done + len(piece)
                        self.advance(len(piece))
            except OSError as error:  # would otherwise pass for trouble with the connection
                raise Trouble(f"Cannot read {path}: {error.strerror}.") from error
            if left:
                raise Trouble(f"{path} became shorter while it was being sent.")
        yield self.end


class Service:
    """The service behind a URL; `ask` gives the JSON of an answer with `keys`. Raises Trouble and requests' errors."""

    def __init__(self, url: str, token: str, screen: Screen) -> None:
        self.url, self.screen, self.session = url, screen, requests.Session()
        # A proxy cannot reach this machine's own loopback.
        self.session.trust_env = not url.partition("://")[2].startswith(("127.0.0.1", "localhost", "[::1]"))
        self.session.headers.update({"X-API-Key": token} if token else {})

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """An answer that is no error, or names refused pictures; comes again when told to, but not for ever."""
        started = time.monotonic()
        options |= {"timeout": TIMEOUT_SECONDS, "allow_redirects": False}
        while (response := self.session.request(method, self.url + path, **options)).status_code >= 300:
            wait = response.headers.get("Retry-After", "")
            if response.status_code not in PATIENCE_SECONDS or not (response.status_code == 429 or wait.isdecimal()):
                problem = self._parsed(response, "detail")
                if problem.get("rejected"):
                    break
                hint = " Give the token with --token or QUEUE_API_TOKEN." if response.status_code == 401 else ""
                raise Trouble(problem["detail"] + hint)
            seconds = int(wait) if wait.isdecimal() else 5
            if time.monotonic() - started + seconds > PATIENCE_SECONDS[response.status_code]:
                raise Trouble(f"{self.url} is busy and asks to come back in {seconds} s. Try again later.")
            self.screen.trouble(f"The service is busy: trying again in {seconds} s.", "yellow")
            time.sleep(seconds)
        return response

    def _parsed(self, response: requests.Response, *keys: str) -> Json:
        try:
            document: Json = response.json()
            return {key: document[key] for key in keys} | document
        except (ValueError, KeyError, TypeError) as error:
            raise Trouble(f"{self.url} is not this service: it gave status {response.status_code}.") from error

    def ask(self, method: str, path: str, *keys: str, **options: Any) -> Json:
        return self._parsed(self.request(method, path, **options), *keys)

    def job(self, job_id: str) -> Json:
        return self.ask("GET", f"/queue/job/{quote(job_id, safe='')}", "id", "status", "progress", "results")

    def submit(self, upload: Upload, **query: str | None) -> Json:
        """The answer to an upload, sent again if the connection is lost: its key keeps that from making two jobs."""
        headers = {"Content-Type": f"multipart/form-data; boundary={upload.key}", "Idempotency-Key": upload.key}
        for pause in RESEND_PAUSES:
            try:
                return self.ask("POST", "/queue/submit", "rejected", params=query, data=upload, headers=headers)
            except LOST:
                self.screen.trouble(f"The connection was lost: sending this job again in {pause} s.", "yellow")
                time.sleep(pause)
        return self.ask("POST", "/queue/submit", "rejected", params=query, data=upload, headers=headers)

    def follow(self, job_ids: Sequence[str], stream: bool = False) -> Iterator[Json]:
        """Yields each job when it has ended; shows what changes on the way, with `stream` as JSON, too."""
        latest, waiting = dict[str, Json](), list(job_ids)
        with self.screen.bar(MofNCompleteColumn) as bar:
            task = bar.add_task("Working", total=None)
            while waiting:
                for job_id in tuple(waiting):
                    job, before = self.job(job_id), latest.get(job_id, {})
                    latest[job_id] = job
                    if any(job.get(key) != before.get(key) for key in ("status", "progress", "phase")):
                        if stream:
                            self.screen.answer(job)
                        if job["results"] is not None or not self.screen.live:
                            self.screen.job(job)
                    counts = [known["progress"] for known in latest.values()]
                    done = sum(count["processed"] + count["failed"] for count in counts)
                    what = clean(job.get("phase_detail") or "Working")
                    bar.update(task, description=what, completed=done, total=sum(count["total"] for count in counts))
                    if job["results"] is not None:
                        waiting.remove(job_id)
                        yield job
                time.sleep(min(5.0, 0.2 + 0.05 * len(waiting)) if waiting else 0)

    def save(self, job: Json, names: Sequence[Path], out: Path) -> Iterator[str]:
        """Fetches the results of an ended job to `out`, under `names` with the new extension. Overwrites nothing."""
        for index, (entry, name) in enumerate(zip(job["results"] or (), names, strict=False)):
            if entry.get("url"):
                wanted = out / name.with_suffix("." + entry["content_type"].rpartition("/")[2])
                stems = (wanted.stem + f" ({number})" * (number > 1) for number in range(1, sys.maxsize))
                target = next(path for stem in stems if not (path := wanted.with_stem(stem)).exists())
                self._fetch(f"/queue/job/{job['id']}/result/{index}", target)
                self.screen.line(f"Saved {target}")
                yield str(target)

    def _fetch(self, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{os.urandom(16).hex()}.part")
        try:
            with self.request("GET", path, stream=True) as response, part.open("xb") as file:
                file.writelines(response.iter_content(CHUNK_BYTES))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def collect(argument: str, recursive: bool, out: str | None) -> list[Picture]:
    """The pictures that an argument means: a file, or those of a folder or pattern in natural order, without `out`."""
    root, saved = Path(argument), Path(out or argument).resolve()
    if root.is_dir():
        found = [path for path in root.glob("**/*" if recursive else "*") if path.suffix.lower() in EXTENSIONS]
        fresh = [path for path in found if root.resolve() not in saved.parents or saved not in path.resolve().parents]
        names = sorted((path.relative_to(root) for path in fresh if path.is_file()), key=natural)
        pictures = [(root / name, name) for name in names if "/." not in f"/{name.as_posix()}"]
    else:
        found = [root] if root.exists() else sorted(map(Path, glob.glob(argument, recursive=True)), key=natural)
        pictures = [(path, Path(path.name)) for path in found if path.is_file()]
    if not pictures:
        raise Trouble(f"No picture in {argument}; see --recursive." if root.is_dir() else f"No such file: {argument}.")
    return pictures


def batches(pictures: Sequence[Picture], max_files: int, max_bytes: int) -> list[list[Picture]]:
    """Jobs of at most so many files and bytes, in the same order; a picture above `max_bytes` goes alone."""
    jobs, space = list[list[Picture]](), 0
    for picture in pictures:
        needed = picture[0].stat().st_size + PART_BYTES
        if needed > space or len(jobs[-1]) == max_files:
            jobs.append([])
            space = min(max_bytes, JOB_BYTES)
        jobs[-1].append(picture)
        space -= needed
    return jobs


def without_result(job: Json) -> list[Json]:
    return [entry for entry in job["results"] or () if not entry.get("url")]


class Commands:
    """One method per command; it returns whether what was asked for happened."""

    def __init__(self, service: Service, screen: Screen, args: argparse.Namespace) -> None:
        self.service, self.screen, self.args = service, screen, args

    def submit(self) -> bool:
        """Send pictures to the queue."""
        args, screen, service, out = self.args, self.screen, self.service, Path(self.args.out or ".")
        pictures = [picture for argument in args.paths for picture in collect(argument, args.recursive, args.out)]
        out.mkdir(parents=True, exist_ok=True)
        limits = service.ask("GET", "/health", "limits")["limits"]
        jobs, names = dict[str, Json](), dict[str, list[Path]]()
        rejected, failed, saved = list[Json](), list[Json](), list[str]()
        try:
            with screen.bar(DownloadColumn) as bar:
                task = bar.add_task("Sending", total=sum(path.stat().st_size for path, _ in pictures))
                for batch in batches(pictures, limits["max_files_per_job"], limits["max_request_bytes"]):
                    upload = Upload([path for path, _ in batch], lambda count: bar.advance(task, count))
                    job = service.submit(upload, model=args.model, priority=args.priority, on_invalid=args.on_invalid)
                    bad = {entry["index"] for entry in job["rejected"]}
                    rejected += [entry | {"filename": str(batch[entry["index"]][0])} for entry in job["rejected"]]
                    if job_id := job.get("job_id"):
                        jobs[job_id] = job
                        names[job_id] = [name for index, (_, name) in enumerate(batch) if index not in bad]
                        screen.line(f"Queued {job_id}: {job['files_count']} of {len(batch)}, model {job['model']}")
                    else:
                        screen.trouble(f"A job of {len(batch)} was not queued: --skip-invalid queues the good ones.")
            for job in service.follow(list(jobs)) if args.wait or args.out else ():
                jobs[job["id"]] = job
                failed += [entry | {"filename": str(names[job["id"]][entry["index"]])} for entry in without_result(job)]
                saved += service.save(job, names[job["id"]], out) if args.out else []
        except (Trouble, OSError, KeyboardInterrupt):
            if jobs:
                screen.trouble(f"Jobs that go on without this program: {' '.join(jobs)}", "yellow")
            raise
        finally:
            screen.failures(rejected + failed)
            screen.answer({"jobs": list(jobs.values()), "saved": saved, "rejected": rejected, "failed": failed})
        return bool(jobs) and not failed and (args.on_invalid == "skip" or not rejected)

    def status(self) -> bool:
        """Show a job."""
        job = self.service.job(self.args.id)
        self.screen.job(job, f"  {job['model']}  {job['created_at']}")
        self.screen.failures(without_result(job))
        return self.screen.answer(job)

    def monitor(self) -> bool:
        """Follow jobs until they have ended."""
        jobs = list(self.service.follow(self.args.ids, stream=True))
        self.screen.failures([entry for job in jobs for entry in without_result(job)])
        return all(job["status"] == "completed" and not job["progress"]["failed"] for job in jobs)

    def list(self) -> bool:
        """Show jobs, the newest first."""
        query = {"status": self.args.status, "limit": 100 if self.args.all else self.args.limit}
        page = self.service.ask("GET", "/queue/jobs", "jobs", "next", params=query)
        while self.args.all and page["next"]:
            more = self.service.ask("GET", "/queue/jobs", "jobs", "next", params=query | {"cursor": page["next"]})
            page = more | {"jobs": page["jobs"] + more["jobs"]}
        for job in page["jobs"]:
            self.screen.job(job, f"  {job['model']}  {job['created_at']}  {', '.join(job['filenames'][:3])}")
        return self.screen.answer(page)

    def stats(self) -> bool:
        """Count the jobs of each status."""
        answer = self.service.ask("GET", "/queue/stats", "stats", "worker")
        for name, value in [*answer["stats"].items(), *(("worker " + k, v) for k, v in answer["worker"].items())]:
            self.screen.line(f"{name:<22}{value}")
        return self.screen.answer(answer)

    def cancel(self) -> bool:
        """Cancel a job that has not begun."""
        return self._act("cancel", force=self.args.force)

    def retry(self) -> bool:
        """Queue the failed pictures of a job again."""
        return self._act("retry")

    def _act(self, verb: str, **query: bool) -> bool:
        answer = self.service.ask("POST", f"/queue/job/{quote(self.args.id, safe='')}/{verb}", "message", params=query)
        self.screen.line(answer["message"])
        return self.screen.answer(answer)

    def download(self) -> bool:
        """Fetch the results of a job."""
        job = self.service.job(self.args.id)
        if not job["results"]:
            raise Trouble(f"Job {self.args.id} has no results: it is {job['status']}.")
        names = [Path(Path(entry["filename"]).name or "picture") for entry in job["results"]]
        saved, failed = list(self.service.save(job, names, Path(self.args.out))), without_result(job)
        self.screen.failures(failed)
        return self.screen.answer({"job_id": self.args.id, "saved": saved, "failed": failed}) and not failed

    def models(self) -> bool:
        """Show the models that a submit can name."""
        answer = self.service.ask("GET", "/models", "models")
        for model in answer["models"]:
            self.screen.line(f"{model['name']:<32}{'installed' if model['installed'] else '':<12}{model['licence']}")
        return self.screen.answer(answer)


def parse_arguments() -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--url", help="address of the service (default: QUEUE_URL, or http://127.0.0.1:5000)")
    common.add_argument("--token", help="its API token, if it wants one (default: QUEUE_API_TOKEN)")
    common.add_argument("--json", action="store_true", help="answer in JSON")
    parser = argparse.ArgumentParser(description=__doc__, parents=[common])
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    add = {}
    for name in ("submit", "status", "monitor", "list", "stats", "cancel", "retry", "download", "models"):
        words = getattr(Commands, name).__doc__
        add[name] = commands.add_parser(name, help=words, description=words, parents=[common]).add_argument
    add["submit"]("paths", nargs="+", metavar="PATH", help="a file, a folder, or a pattern in quotes")
    add["submit"]("--model", help="one of `models` (default: the service's)")
    add["submit"]("--priority", choices=["low", "normal", "high"], default="normal", help="who goes first")
    add["submit"]("--wait", action="store_true", help="follow the jobs until they have ended")
    add["submit"]("--out", metavar="DIR", help="wait, and save the results here; nothing is overwritten")
    add["submit"]("--skip-invalid", dest="on_invalid", action="store_const", const="skip", help="queue the good ones")
    add["submit"]("--recursive", action="store_true", help="look into the folders inside folders, too")
    for name in ("status", "cancel", "retry", "download"):
        add[name]("id", metavar="ID", help="the job")
    add["monitor"]("ids", nargs="+", metavar="ID", help="jobs")
    add["list"]("--status", choices=list(STYLES), help="only these")
    add["list"]("--limit", type=int, default=20, help="at most so many (default: 20)")
    add["list"]("--all", action="store_true", help="as many as there are")
    add["cancel"]("--force", action="store_true", help="stop it even if it has begun")
    add["download"]("--out", metavar="DIR", default=".", help="where to save (default: here); nothing is overwritten")
    token, url = os.environ.get("QUEUE_API_TOKEN", ""), os.environ.get("QUEUE_URL") or "http://127.0.0.1:5000"
    return parser.parse_args(namespace=argparse.Namespace(url=url, token=token, json=False))


def main() -> int:
    args = parse_arguments()
    screen, url = Screen(args.json), (args.url if "://" in args.url else f"http://{args.url}").rstrip("/")
    try:
        return 0 if getattr(Commands(Service(url, args.token, screen), screen, args), args.command)() else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the answer has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Trouble, OSError) as error:
        screen.trouble(explain(error, url))
    return 1


if __name__ == "__main__":
    sys.exit(main())
