"""Change numbers: every change of a job that clients can see gives the job the next number, in its own transaction.

The counter's row is locked from then until the commit, so changes are committed in the order of their numbers, and
whoever has seen one number has missed none below it. To keep two transactions from waiting for each other, it is locked
after rows of `job_files`, and before other counters and rows of `jobs`. A job keeps only its latest number: who reads
jobs by number gets each of them once, as it is now.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from database.tables import counters, jobs

COUNTER = "changes"

# Statements are built once: SQLAlchemy takes four times as long to build and recognise one as to run it.
TAKE = {
    name: insert(counters)
    .values(name=COUNTER, value=bindparam("count"))
    .on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + bindparam("count")})
    .returning(counters.c.value)
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
NEWEST = select(counters.c.value).where(counters.c.name == COUNTER)
MARK = update(jobs).where(jobs.c.id == bindparam("job")).values(changed=bindparam("number"))


def take(connection: Connection, count: int = 1) -> Sequence[int]:
    """The next numbers, for so many jobs."""
    newest: int = connection.execute(TAKE[connection.dialect.name], {"count": count}).scalar_one()
    return range(newest - count + 1, newest + 1)


def mark(connection: Connection, job_ids: Collection[str]) -> None:
    """Note that jobs have changed, where no other statement on them carries the number."""
    if job_ids:
        numbers = take(connection, len(job_ids))
        # In one order always, so that two transactions never wait for each other's rows.
        changed = zip(sorted(job_ids), numbers, strict=True)
        connection.execute(MARK, [{"job": job_id, "number": number} for job_id, number in changed])


def newest(connection: Connection) -> int:
    """The number given last; 0 before the first."""
    return connection.execute(NEWEST).scalar() or 0
