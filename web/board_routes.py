"""What a board of the queue shows and does: workers, throughput, files of a job."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from web import board_schemas
from web.access import own_origin
from web.dependencies import PROBLEM, Queue

# They name machines and processes: without a token, that is nothing for pages of other sites.
router = APIRouter(prefix="/queue", tags=["board"], responses=PROBLEM, dependencies=[Depends(own_origin)])


@router.get("/workers")
def workers(queue: Queue) -> board_schemas.WorkersView:
    """Every worker that was heard of lately, and the pictures that it has in hand."""
    with queue.database.read():
        benches = queue.board.benches(queue.workers())
    return board_schemas.WorkersView(workers=[board_schemas.bench_view(bench) for bench in benches])


@router.get("/throughput")
def throughput(
    queue: Queue,
    minutes: Annotated[int, Query(ge=1, le=1440, description="How many, up to a day.")] = 60,
) -> board_schemas.ThroughputView:
    """Pictures that ended in each of the last minutes."""
    return board_schemas.ThroughputView(
        minutes=[
            board_schemas.MinuteView(at=minute.at, completed=minute.completed, failed=minute.failed)
            for minute in queue.board.throughput(minutes)
        ]
    )


@router.get("/job/{job_id}/files")
def files(
    queue: Queue,
    job_id: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="`next` of the answer before.")] = -1,
) -> board_schemas.FilesView:
    """The files of a job one by one, in the order of the request, whatever their state."""
    with queue.database.read():
        queue.job(job_id)
        shown, more = queue.board.files(job_id, limit, after)
    return board_schemas.FilesView(files=[board_schemas.file_view(file) for file in shown], next=more)
