"""Children of a real service die at random moments (kill -9) while it works: each death costs one attempt of one file.

    python -m bench.child_deaths --kills 50

Every second victim is first held still with a file in its hands, so that its death must cost an attempt; the others
die wherever they are. Every file must end with a result or a reason, and nothing may leak. Ends with 1 if not.
"""

import argparse
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.faults.children import hold, in_hand, results_of, rows, signal_all
from tests.service import POLL_SECONDS, SAMPLES, Service, alive, children_of, running

SLOTS = 2
JOB_FILES = 5
# Files completed between two deaths, at most, and enough that both slots stay busy until then.
MOST_BETWEEN = 15
WAITING_FILES = 20
# Enough that every slot has its child.
WARM_UP_FILES = 8
# Descriptors and threads that may come and go: connections of the database and of clients.
ALLOWED_MORE = 12
CHARGED = re.compile(r"job (\S+) file (\d+) \(.*\): (?:attempt \d+ failed, again in .* s|failed): .*process (\d+)\.$")
LOADED = re.compile(r"model \S+ loaded in process (\d+)$", re.MULTILINE)


def photo(width: int, height: int) -> bytes:
    buffer = BytesIO()
    with Image.open(SAMPLES[0]) as sample:
        sample.convert("RGB").resize((width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


SMALL = photo(96, 72)


@dataclass(frozen=True)
class Resources:
    """What a service and its children take."""

    processes: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, service: Service) -> "Resources":
        folder = Path(f"/proc/{service.process.pid}")
        return cls(len(service.processes()), len(os.listdir(folder / "fd")), len(os.listdir(folder / "task")))


@dataclass
class Figures:
    """`held` and `killed` are process ids; `charged` counts (job, index), one for each attempt that a death cost."""

    held: set[int] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    charged: Counter[tuple[str, int]] = field(default_factory=Counter)
    files: int = 0
    failed_files: int = 0
    faults: list[str] = field(default_factory=list)


def work_and_die(service: Service, kills: int, chance: random.Random) -> Figures:
    figures = Figures()
    service.wait_until("/ready")
    service.wait_for(service.submit([("small.jpg", SMALL)] * WARM_UP_FILES))
    before = Resources.of(service)
    jobs = []
    for number in range(kills):
        jobs += keep_busy(service)
        finish_some(service, chance.randint(0, MOST_BETWEEN))
        time.sleep(chance.uniform(0, 0.3))
        pid = kill_held(service, chance) if number % 2 == 0 else kill_running(service, chance)
        figures.killed.add(pid)
        if number % 2 == 0:
            figures.held.add(pid)
    views = [service.wait_for(job_id) for job_id in jobs]
    service.wait_for(service.submit([("small.jpg", SMALL)] * WARM_UP_FILES))
    check_charges(service, figures)
    for job_id, view in zip(jobs, views, strict=True):
        check_job(job_id, results_of(view), figures)
    check_leaks(before, Resources.of(service), figures)
    figures.faults += kill_every_child_of_one_file(service)
    service.wait_until("/ready")
    return figures


def keep_busy(service: Service) -> list[str]:
    waiting = count(service, "pending")
    return [service.submit([("small.jpg", SMALL)] * JOB_FILES) for _ in range(waiting, WAITING_FILES, JOB_FILES)]


def finish_some(service: Service, files: int) -> None:
    enough = count(service, "completed") + files
    while count(service, "completed") < enough:
        time.sleep(POLL_SECONDS)


def count(service: Service, status: str) -> int:
    ((files,),) = rows(service, f"SELECT count(*) FROM job_files WHERE status = '{status}'")
    assert isinstance(files, int)
    return files


def loaded(service: Service, pids: Sequence[int]) -> list[int]:
    """The deaths of others are told without a process: they have not said yet which they are."""
    told = {int(pid) for pid in LOADED.findall(service.log)}
    return [pid for pid in pids if pid in told and alive(pid)]


def kill_held(service: Service, chance: random.Random) -> int:
    """A child that surely has a file."""
    while not (choice := loaded(service, held := hold(service, SLOTS))):
        signal_all(held, signal.SIGCONT)
        time.sleep(POLL_SECONDS)
    victim = chance.choice(choice)
    os.kill(victim, signal.SIGKILL)
    signal_all([pid for pid in held if pid != victim], signal.SIGCONT)
    return victim


def kill_running(service: Service, chance: random.Random) -> int:
    while not (choice := loaded(service, children_of(service))):
        time.sleep(POLL_SECONDS)
    victim = chance.choice(choice)
    os.kill(victim, signal.SIGKILL)
    return victim


def kill_every_child_of_one_file(service: Service) -> list[str]:
    """A file whose every child dies ends failed and says why; what is wrong with that."""
    job_id = service.submit([("large.jpg", photo(3000, 2000))])
    while (view := service.job(job_id))["completed_at"] is None:
        signal_all(children_of(service), signal.SIGSTOP)
        if in_hand(service):
            signal_all(children_of(service), signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    (entry,) = results_of(view)
    told = (entry["status"], entry["attempts"], entry["error_code"])
    expected = ("failed", 3, "child_died")
    return [] if told == expected else [f"a file whose every child died: {told}, not {expected}"]


# --- what is wrong ------------------------------------------------------------------------------------------------


def check_charges(service: Service, figures: Figures) -> None:
    """Every attempt that failed names a child that we killed, each once; and who surely had a file is among them."""
    named = []
    for line in service.log.splitlines():
        if "attempt " in line or ": failed: " in line:
            match = CHARGED.search(line)
            if match is None:
                figures.faults.append(f"another reason: {line}")
                continue
            figures.charged[match[1], int(match[2])] += 1
            named.append(int(match[3]))
    figures.faults += [f"child {pid} was named, and not killed" for pid in set(named) - figures.killed]
    figures.faults += [f"child {pid} was named {count} times" for pid, count in Counter(named).items() if count > 1]
    figures.faults += [f"child {pid} had a file, and cost nothing" for pid in figures.held - set(named)]


def check_job(job_id: str, entries: Sequence[dict[str, object]], figures: Figures) -> None:
    """Every file ended, and its attempts are its own success and the deaths of its own children."""
    if len(entries) != JOB_FILES:
        figures.faults.append(f"job {job_id} has {len(entries)} results")
    for entry in entries:
        figures.files += 1
        deaths = figures.charged[job_id, int(str(entry["index"]))]
        completed = entry["status"] == "completed" and entry["url"]
        gave_up = entry["status"] == "failed" and entry["error_code"] == "child_died" and deaths == 3
        figures.failed_files += not completed
        if not (completed or gave_up) or entry["attempts"] != deaths + bool(completed):
            figures.faults.append(f"job {job_id}, {deaths} deaths: {entry}")


def check_leaks(before: Resources, after: Resources, figures: Figures) -> None:
    if after.processes > before.processes:
        figures.faults.append(f"{after.processes} processes, before {before.processes}")
    for name in ("descriptors", "threads"):
        if getattr(after, name) > getattr(before, name) + ALLOWED_MORE:
            figures.faults.append(f"{getattr(after, name)} {name}, before {getattr(before, name)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as service:
        figures = work_and_die(service, options.kills, random.Random(options.seed))
    report(figures, time.monotonic() - begin)
    return 1 if figures.faults else 0


def start(folder: Path) -> contextlib.AbstractContextManager[Service]:
    """No child is replaced for its age, so that each that was held has a file."""
    return running(folder, max_concurrent=f"{SLOTS}", child_max_files="1000000")


def report(figures: Figures, seconds: float) -> None:
    deaths = sum(figures.charged.values())
    print(f"{len(figures.killed)} children killed in {seconds:.0f} s, {len(figures.held)} of them held with a file")
    print(f"{deaths} attempts lost, by {len(figures.charged)} of {figures.files} files; {figures.failed_files} failed")
    for fault in figures.faults:
        print(f"FAULT {fault}")


if __name__ == "__main__":
    sys.exit(main())
