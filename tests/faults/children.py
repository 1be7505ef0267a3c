"""What the children of a running service have in hand, and how to hold them still for a fault."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.service import PATIENCE_SECONDS, POLL_SECONDS, Service, children_of

# An outcome on its way to the database when its child is stopped arrives within so many polls.
SETTLED_POLLS = 8


def rows(service: Service, query: str) -> list[tuple[object, ...]]:
    """Straight from the service's database, without asking the service."""
    address = f"file:{service.data_dir / 'queue.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def in_hand(service: Service) -> frozenset[object]:
    """The lease of every file that is being worked on, one for each attempt."""
    return frozenset(rows(service, "SELECT id, lease_token FROM job_files WHERE status = 'processing'"))


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(service: Service) -> None:
    """Stop the service (SIGSTOP) at a moment without a write transaction: inside one it would keep all others out."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, "the service is always inside a write transaction"
        service.process.send_signal(signal.SIGSTOP)
        while not all_threads_stopped(service.process.pid):
            assert time.monotonic() < deadline, "the service does not stand still"
            time.sleep(POLL_SECONDS)
        if is_writable(service):
            return
        service.process.send_signal(signal.SIGCONT)
        time.sleep(POLL_SECONDS)


def all_threads_stopped(pid: int) -> bool:
    """A thread that is writing to the disk stops only after that (proc(5): T means stopped)."""
    try:
        states = [stat.read_text().rpartition(") ")[2][0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # one has just ended
        return False
    return set(states) == {"T"}


def is_writable(service: Service) -> bool:
    database = service.data_dir / "queue.db"
    with contextlib.closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        connection.execute("ROLLBACK")
        return True


def hold(service: Service, files: int) -> list[int]:
    """Stop all children (SIGSTOP), so many files surely in their hands and perhaps more claimed; their process ids."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    before, same = frozenset[object](), 0
    while same < SETTLED_POLLS:
        assert time.monotonic() < deadline, f"never {files} files in hand:\n{service.log}"
        signal_all(children_of(service), signal.SIGSTOP)
        now = in_hand(service)
        same = same + 1 if now == before and len(now) >= files else 0
        before = now
        time.sleep(POLL_SECONDS)
    return children_of(service)


def in_the_middle(service: Service, pictures: Sequence[tuple[str, bytes]]) -> tuple[str, int]:
    """A job one of whose pictures is in hand, and the service's only child, which has it and stands still."""
    service.wait_until("/ready")
    (child,) = children_of(service)
    os.kill(child, signal.SIGSTOP)
    job_id = service.submit(pictures)
    service.wait_for_active(1)
    return job_id, child


def results_of(view: Mapping[str, object]) -> list[dict[str, object]]:
    """One entry for every file of an ended job."""
    results = view["results"]
    assert isinstance(results, list)
    return results
