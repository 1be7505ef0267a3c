"""Streams of events (server-sent events): what changes, for pages and scripts that would otherwise have to ask."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from web.dependencies import PROBLEM, Queue
from web.event_feed import EventFeed
from web.head import WAS_HEAD

# Nothing between us and the client may keep an event back, or give it to somebody else.
HEADERS: Mapping[str, str] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events, as they happen."}
}
# As far as the database can count.
NEVER_GIVEN = 2**63 - 1

router = APIRouter(prefix="/queue", tags=["events"], responses=PROBLEM)


class EventStream(StreamingResponse):
    """Ends what it streams in the moment in which the client goes."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, headers=HEADERS)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._events):
            if WAS_HEAD in scope:
                await StreamingResponse(iter(()), headers=self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


Told = Annotated[str | None, Header(alias="Last-Event-ID", description="`id` of the last event seen.")]
ToldInQuery = Annotated[str | None, Query(alias="last_event_id", description="The same, where no header can be set.")]


async def last_seen(header: Told = None, query: ToldInQuery = None) -> int | None:
    """A browser that comes back by itself sends the header, whatever the address says.

    What is no number of ours is one that was never given: a refusal would make browsers give up for good.
    """
    told = header or query
    if not told:
        return None
    ours = told.isascii() and told.isdecimal() and len(told) < len(str(NEVER_GIVEN))
    return int(told) if ours else NEVER_GIVEN


async def feed_of(request: Request) -> EventFeed:
    feed: EventFeed = request.app.state.feed
    return feed


Seen = Annotated[int | None, Depends(last_seen)]
Feed = Annotated[EventFeed, Depends(feed_of)]


@router.get("/events", response_class=StreamingResponse, responses=EVENTS)
async def events(feed: Feed, seen: Seen) -> Response:
    """Every change of every job, and the counts: `stats`, `job` and `reset`."""
    return EventStream(feed.of_all_jobs(seen))


@router.get(
    "/job/{job_id}/events",
    response_class=StreamingResponse,
    responses=EVENTS | {204: {"description": "The job has ended, and you have seen that: there is nothing to come."}},
)
def events_of_job(queue: Queue, feed: Feed, job_id: str, seen: Seen) -> Response:
    """One job now, and at every change until it has ended: `job`, and `end` at last."""
    job = queue.job(job_id)
    if job.status.ended and seen is not None and job.changed <= seen < NEVER_GIVEN:
        return Response(status_code=204)
    return EventStream(feed.of_job(job_id))
