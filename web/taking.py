"""Taking pictures in, whichever door they come through: read, checked, queued, and waited for."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from database.key_store import KnownKey, Reservation
from errors import IllegalTransition, NoFiles, ServiceError
from models.weights import WeightStore
from queue_manager import QueueManager
from submission import Queued, Submission
from web import forms, json_body
from web.dependencies import Service
from web.door import Door
from web.parameters import Parameters, parameters_of
from web.sources import Sources

logger = logging.getLogger(__name__)


async def take(request: Request, service: Service, door: Door, idempotency_key: str | None) -> Queued:
    """Read a request's pictures and queue them."""
    keys = service.queue.keys
    key = None if idempotency_key is None else await run_in_threadpool(keys.reserve, idempotency_key)
    try:
        return await receive_and_queue(request, service, door, key)
    except BaseException:  # a cancelled request must not hold its key either
        if isinstance(key, Reservation):
            await run_in_threadpool(keys.release, key)
        raise


async def receive_and_queue(
    request: Request, service: Service, door: Door, key: Reservation | KnownKey | None
) -> Queued:
    queue, default_model = service.queue, service.settings.default_model
    query = door.parameters_in(request.query_params)
    # Before the pictures: nobody should upload them for nothing.
    parameters_of(door.in_our_words(query), {}, default_model)
    length = request.headers.get("content-length", "")
    expected_bytes = int(length) if length.isdecimal() else 0
    submission = await run_in_threadpool(queue.begin_submission, expected_bytes, isinstance(key, KnownKey))
    if door.file_fields.one_picture:
        submission.limits = replace(submission.limits, max_files_per_job=1)
    try:

        def keep_alive() -> None:
            if isinstance(key, Reservation):
                queue.keys.renew(key)

        sources = Sources(submission, queue.file)
        for name, value in request.query_params.multi_items():
            sources.take(door.our_name(name), value)
        fields = await body_fields(request, submission, sources, door, keep_alive)
        if not (submission.noted or sources):
            raise NoFiles(f"No picture came with the request. Send one in the field {door.file_fields.pictures[0]!r}.")
        # A form field counts more.
        words = door.in_our_words({**query, **fields})
        # Before anything is fetched for nothing.
        parameters = parameters_of(words, attached(submission), default_model)
        if sources:
            await sources.fetch(request, service.fetching, keep_alive)
            # With what was attached by its address.
            parameters = parameters_of(words, attached(submission), default_model)
    except BaseException:  # a cancelled request must not leave bytes behind
        await run_in_threadpool(submission.discard)
        raise
    return await run_in_threadpool(enqueue, queue, service.weights, submission, parameters, key)


def attached(submission: Submission) -> dict[str, str]:
    return {name: file.input_sha256 for name, file in submission.attachments.items()}


async def body_fields(
    request: Request, submission: Submission, sources: Sources, door: Door, keep_alive: Callable[[], None]
) -> Mapping[str, object]:
    """Pictures in the body go into the submission, addresses into the sources; what it says beside them."""
    if json_body.is_json(request):
        return await json_body.receive(request, submission, sources, keep_alive, door.our_name)
    if sources and "content-type" not in request.headers:  # the query says it all
        return {}

    def take_field(name: str, value: str) -> bool:
        return sources.take(door.our_name(name), value)

    return await forms.receive(request, submission, keep_alive, door.file_fields, take_field)


def enqueue(
    queue: QueueManager,
    weights: WeightStore,
    submission: Submission,
    parameters: Parameters,
    key: Reservation | KnownKey | None,
) -> Queued:
    try:
        weights.check_usable(parameters.model)
    except ServiceError:
        submission.discard()
        raise
    return queue.submit(
        submission,
        model=parameters.model.name,
        params=parameters.operation,
        priority=parameters.options.priority,
        skip_invalid=parameters.options.on_invalid == "skip",
        cache=parameters.options.cache == "on",
        key=key,
    )


async def ended_in_time(
    request: Request, service: Service, queued: Queued, seconds: float, idempotency_key: str | None
) -> bool:
    """Whether the job has ended within so many seconds, or those of the settings.

    Raises ClientDisconnect when the client hung up. Its job is cancelled then, unless it came with an idempotency key:
    who sends one means to ask again.
    """
    job_id = queued.job.id
    try:
        return await service.waiting.until_end(job_id, min(seconds, service.settings.max_wait_seconds), request)
    except ClientDisconnect:
        if idempotency_key is None:
            logger.info("job %s: its client hung up", job_id)
            with contextlib.suppress(IllegalTransition):  # it has ended meanwhile
                await run_in_threadpool(service.queue.cancel_job, job_id, force=True)
        raise
