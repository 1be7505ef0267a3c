"""The command `submit`: pictures into the queue and, if wanted, results out of it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cli.client import Client
from cli.collect import ADDRESS, Picture, batches, collect
from cli.cutout_options import chosen
from cli.follow import follow, has_ended, without_result
from cli.results import Results, checked_folder
from cli.screen import Screen
from cli.trouble import FilesRefused, Json, Trouble
from cli.upload import Upload


def submit(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Send pictures to the queue."""
    results = None if args.out is None else Results(client, screen, checked_folder(args.out))
    pictures: list[Picture] = []
    for argument in args.paths:
        pictures += collect(argument, args.recursive, args.out)
    if args.out is not None:
        Path(args.out).mkdir(parents=True, exist_ok=True)  # now rather than after an hour of work
    limits = client.limits()
    query = {"model": args.model, "priority": args.priority, **chosen(args)}
    submission = Submission(client, screen, args.skip_invalid, query, background_of(args.background_image))
    try:
        submission.send(
            batches(pictures, limits.max_files_per_job, limits.max_request_bytes),
            min(limits.max_upload_bytes, limits.max_request_bytes),
        )
        if args.wait or results is not None:
            submission.follow(results)
    except (Trouble, OSError, KeyboardInterrupt):
        submission.tell_what_goes_on()
        raise
    finally:
        failed = submission.failed + (results.failed if results else [])
        screen.failures(submission.rejected + failed)
        jobs = list(submission.jobs.values())
        saved = {"saved": results.saved, "sources": results.sources} if results else {"saved": [], "sources": {}}
        screen.answer({"jobs": jobs, **saved, "rejected": submission.rejected, "failed": failed})
    return bool(jobs) and not failed and (args.skip_invalid or not submission.rejected)


class Submission:
    """The jobs of one run of `submit`, by id as last heard of, and what became of the pictures."""

    def __init__(
        self,
        client: Client,
        screen: Screen,
        skip_invalid: bool,
        query: dict[str, str | None],
        attachments: Mapping[str, Path | str],
    ) -> None:
        self.jobs: dict[str, Json] = {}
        self.rejected: list[Json] = []
        self.failed: list[Json] = []
        self._pictures: dict[str, list[Picture]] = {}
        self._client = client
        self._screen = screen
        self._skip_invalid = skip_invalid
        self._attachments = attachments
        self._query = query | {"on_invalid": "skip" if skip_invalid else None}

    def send(self, jobs: Sequence[Sequence[Picture]], max_bytes: int) -> None:
        """Queue each list of pictures as one job, without those that are larger than `max_bytes`."""
        with self._screen.bytes_bar() as bar:
            sizes = [picture.size for pictures in jobs for picture in pictures]
            task = bar.add_task("Sending", total=sum(sizes))
            for pictures in jobs:
                self._send_job(pictures, max_bytes, lambda count: bar.advance(task, count))

    def _send_job(self, pictures: Sequence[Picture], max_bytes: int, advance: Callable[[int], object]) -> None:
        job, rejected = self._offer(pictures, max_bytes, advance)
        places = {entry["index"] for entry in rejected}
        self.rejected += [entry | {"filename": str(pictures[entry["index"]].source)} for entry in rejected]
        if job is not None:
            self.jobs[job["job_id"]] = job
            self._pictures[job["job_id"]] = [each for place, each in enumerate(pictures) if place not in places]
            self._screen.line(f"Queued {job['job_id']}: {job['files_count']} of {len(pictures)}, model {job['model']}")
        elif len(rejected) < len(pictures):
            self._screen.trouble(f"A job of {len(pictures)} was not queued: --skip-invalid queues the good ones.")

    def _offer(
        self, pictures: Sequence[Picture], max_bytes: int, advance: Callable[[int], object]
    ) -> tuple[Json | None, list[Json]]:
        """The job that was made, if any, and an entry for each picture that is refused; `index` is its place."""
        sizes = [picture.size for picture in pictures]
        fitting = [place for place, size in enumerate(sizes) if size <= max_bytes]
        rejected = [too_large(place, max_bytes) for place, size in enumerate(sizes) if size > max_bytes]
        if not fitting or (rejected and not self._skip_invalid):
            advance(sum(sizes))
            return None, rejected
        try:
            job = self._upload([pictures[place].source for place in fitting], advance)
            refused = job["rejected"]
        except FilesRefused as refusal:
            job = None
            refused = refusal.rejected
        # The service counts what it was sent.
        rejected += [entry | {"index": fitting[entry["index"]]} for entry in refused]
        return job, rejected

    def _upload(self, sources: Sequence[Path | str], advance: Callable[[int], object]) -> Json:
        upload = Upload(sources, advance, self._attachments)
        try:
            return self._client.submit(upload, **self._query)
        except KeyboardInterrupt:
            if upload.is_whole:
                self._screen.note(f"The job that begins with {sources[0]} may have been queued: see `list`.")
            raise

    def follow(self, results: Results | None) -> None:
        """Wait for the end of all jobs, and save their results."""
        for job in follow(self._client, self._screen, list(self.jobs)):
            self.jobs[job["id"]] = job
            pictures = self._pictures[job["id"]]
            for entry in without_result(job):
                self.failed.append(entry | {"filename": str(pictures[entry["index"]].source)})
            if results is not None:
                results.save(job, pictures)

    def tell_what_goes_on(self) -> None:
        going_on = [job_id for job_id, job in self.jobs.items() if not has_ended(job)]
        if going_on:
            self._screen.note(f"Jobs that go on without this program: {' '.join(going_on)}")


def background_of(argument: str | None) -> Mapping[str, Path | str]:
    """What --background-image names, by the service's name for it. Raises Trouble if there is no such file."""
    if argument is None:
        return {}
    if ADDRESS.match(argument):
        return {"background_image_url": argument}
    if not Path(argument).is_file():
        raise Trouble(f"--background-image {argument} is no file: name the picture to put behind, or its address.")
    return {"background_image": Path(argument)}


def too_large(place: int, max_bytes: int) -> Json:
    """What the service would say of the file at this place in a job."""
    reason = f"The file is larger than the {max_bytes / 2**20:.4g} MiB that one may have."
    return {"index": place, "code": "file_too_large", "reason": reason}
