"""The SQL of listings with filters: by an index, in its order, so that only what is asked for is read."""

import pytest
from sqlalchemy import select, tuple_

from database.engine import Database
from database.job_search import above, id_begins_with, in_index, newest_first, standing, statement
from database.tables import jobs
from job import JobFilter, JobStatus, timestamp
from tests.database.jobs import NOW
from tests.database.test_claim import plan

PLACE = (timestamp(NOW), "a")
FILTERS = {
    "text": JobFilter(text="cat"),
    "model": JobFilter(model="u2net"),
    "time": JobFilter(since=timestamp(NOW), until=timestamp(NOW)),
    "state and text": JobFilter(status=JobStatus.FAILED, text="cat"),
    "state and time": JobFilter(status=JobStatus.FAILED, since=timestamp(NOW), until=timestamp(NOW)),
}


@pytest.mark.parametrize("goes_on", [False, True], ids=["first page", "next page"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_page_walks_an_index_in_order(database: Database, name: str, goes_on: bool) -> None:
    wanted = FILTERS[name]
    beyond = [standing < tuple_(*PLACE)] if goes_on else []
    told = plan(database, newest_first(statement(wanted, [*beyond, *above(PLACE)])).limit(10), {})
    assert ("ix_jobs_created" if wanted.status is None else "ix_jobs_status_created") in told
    assert "TEMP B-TREE" not in told
    assert not told.startswith("SCAN") or "USING INDEX" in told


@pytest.mark.parametrize("name", FILTERS)
def test_how_far_to_look_is_told_by_the_index_alone(database: Database, name: str) -> None:
    within = select(jobs.c.created_at, jobs.c.id).where(*in_index(FILTERS[name]))
    told = plan(database, newest_first(within).limit(1).offset(20_000), {})
    assert "COVERING INDEX" in told
    assert "TEMP B-TREE" not in told


def test_ids_are_found_by_their_beginning_in_the_index_of_ids(database: Database) -> None:
    told = plan(database, select(jobs.c.id).where(id_begins_with("0123abcd")).limit(10), {})
    assert "id>? AND id<?" in told
