"""What people do to jobs and to the queue: cancel, retry, another priority, pause; and the history of it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from acts import MOST_JOBS
from job import Act, Deed, Priority
from web import board_schemas, schemas
from web.access import own_origin
from web.dependencies import PROBLEM, Queue
from web.filters import Filter, Moment, Text

router = APIRouter(prefix="/queue", tags=["board"], responses=PROBLEM)


async def actor_of(request: Request) -> str:
    """Whom the history names."""
    return request.client.host if request.client is not None else "unknown"


Actor = Annotated[str, Depends(actor_of)]


class StrictFilter(Filter):
    """A misspelt filter must not mean every job."""

    model_config = ConfigDict(extra="forbid")


class ActBody(BaseModel):
    """Either `ids` or `filter`; an empty filter means every job."""

    model_config = ConfigDict(extra="forbid")

    act: Deed
    priority: Priority | None = Field(None, description="The new one, of a change of priority.")
    force: StrictBool = Field(False, description="Cancel what is being worked on too.")
    ids: list[Text] | None = Field(None, min_length=1, max_length=MOST_JOBS)
    filter: StrictFilter | None = None
    limit: StrictInt = Field(MOST_JOBS, ge=1, le=MOST_JOBS, description="Of a filter: act on so many jobs at most.")
    as_of: Moment | None = Field(
        None, description="Jobs that were queued, or ended, later do not count: from a list, or from the answer before."
    )

    @model_validator(mode="after")
    def says_what_is_meant(self) -> "ActBody":
        if (self.ids is None) == (self.filter is None):
            raise ValueError("say which jobs: either ids or a filter")
        if (self.act is Deed.PRIORITY) != (self.priority is not None):
            raise ValueError("a priority belongs to the act priority, and to no other")
        if self.force and self.act is not Deed.CANCEL:
            raise ValueError("force belongs to the act cancel, and to no other")
        return self


@router.post("/job/{job_id}/cancel")
def cancel(
    queue: Queue,
    actor: Actor,
    job_id: str,
    force: Annotated[bool, Query(description="Stop a running job too; what has finished stays.")] = False,
) -> schemas.ActView:
    """Cancel a pending job."""
    job = queue.cancel_job(job_id, force, actor)
    return schemas.ActView(job_id=job.id, status=job.status, message="Job cancelled successfully")


@router.post("/job/{job_id}/retry")
def retry(queue: Queue, actor: Actor, job_id: str) -> schemas.ActView:
    """Queue the failed files of an ended job again; the others keep their results."""
    job = queue.retry_job(job_id, actor)
    return schemas.ActView(job_id=job.id, status=job.status, message="The failed files are queued again")


@router.post("/job/{job_id}/priority", dependencies=[Depends(own_origin)])
def priority(queue: Queue, actor: Actor, job_id: str, priority: Annotated[Priority, Query()]) -> schemas.ActView:
    """Move the waiting files of a job to where this priority has its place in the queue."""
    job = queue.set_priority(job_id, priority, actor)
    return schemas.ActView(job_id=job.id, status=job.status, message=f"The priority is {job.priority} now")


@router.post("/jobs/act", dependencies=[Depends(own_origin)])
def act(queue: Queue, actor: Actor, body: ActBody) -> board_schemas.TallyView:
    """Cancel, retry or prioritise many jobs: at most 1,000 with one request."""
    meant = Act(body.act, body.force, body.priority or Priority.NORMAL)
    if body.filter is None:
        tally = queue.acts.on_these(meant, body.ids or [], actor)
    else:
        as_of = None if body.as_of is None else datetime.fromisoformat(body.as_of)
        wanted = body.filter.meant()
        tally = queue.acts.on_matching(meant, wanted, body.filter.in_words(), as_of, body.limit, actor)
    return board_schemas.TallyView(
        changed=tally.changed,
        refused=[board_schemas.RefusedView(job_id=job_id, reason=reason) for job_id, reason in tally.refused.items()],
        refused_count=tally.refused_count,
        left=tally.left,
        as_of=tally.as_of,
    )


@router.post("/pause", dependencies=[Depends(own_origin)])
def pause(queue: Queue, actor: Actor) -> schemas.PauseView:
    """Finish what is running and begin nothing new."""
    queue.set_paused(True, actor)
    return schemas.PauseView(paused=True)


@router.post("/resume", dependencies=[Depends(own_origin)])
def resume(queue: Queue, actor: Actor) -> schemas.PauseView:
    """Go on after a pause."""
    queue.set_paused(False, actor)
    return schemas.PauseView(paused=False)


@router.get("/history", dependencies=[Depends(own_origin)])
def history(
    queue: Queue,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> board_schemas.HistoryView:
    """What people did, newest first; an act on many jobs is one line."""
    lines, more = queue.acts.history(limit, cursor)
    return board_schemas.HistoryView(history=[board_schemas.line_view(line) for line in lines], next=more)


@router.get("/job/{job_id}/history", dependencies=[Depends(own_origin)])
def history_of_job(
    queue: Queue,
    job_id: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> board_schemas.HistoryView:
    """What people did to a job, and what went wrong with its files, oldest first."""
    with queue.database.read():
        queue.job(job_id)
        lines, more = queue.acts.history_of(job_id, limit, cursor)
    return board_schemas.HistoryView(history=[board_schemas.line_view(line) for line in lines], next=more)
