"""Jobs on their way to the end."""

from collections.abc import Iterator, Sequence

from cli.client import Client
from cli.hearing import Hearing
from cli.screen import Screen, clean
from cli.trouble import Json


def follow(client: Client, screen: Screen, job_ids: Sequence[str], as_stream: bool = False) -> Iterator[Json]:
    """Yields each job when it has ended; shows what changes on the way, with `as_stream` in JSON too."""
    latest: dict[str, Json] = {}
    waiting = list(job_ids)
    hearing = Hearing(client)
    asked: Sequence[str] = job_ids
    with screen.files_bar() as bar:
        task = bar.add_task("Working", total=None)
        while waiting:
            for job_id in tuple(asked):
                job = client.job(job_id)
                if has_changed(latest.get(job_id, {}), job):
                    if as_stream:
                        screen.answer(job)
                    if has_ended(job) or not screen.live:
                        screen.job(job)
                latest[job_id] = job
                progress = [known["progress"] for known in latest.values()]
                bar.update(
                    task,
                    description=clean(job.get("phase_detail") or "Working"),
                    completed=sum(count["processed"] + count["failed"] for count in progress),
                    total=sum(count["total"] for count in progress),
                )
                if has_ended(job):
                    waiting.remove(job_id)
                    yield job
            if waiting:
                asked = hearing.next(waiting)


def has_ended(job: Json) -> bool:
    """Whether nothing more becomes of a job; its results are listed then, and not before."""
    return job.get("results") is not None


def has_changed(before: Json, job: Json) -> bool:
    return any(job.get(key) != before.get(key) for key in ("status", "progress", "phase"))


def without_result(job: Json) -> list[Json]:
    """The entries of an ended job's files that failed or were cancelled."""
    return [entry for entry in job["results"] or () if not entry.get("url")]
