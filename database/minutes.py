"""How many files ended in which minute, moved in the same transaction in which they end."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from database.tables import minutes
from job import timestamp

MINUTE = timedelta(minutes=1)


def begin_of(moment: datetime) -> datetime:
    """The full minute, in UTC."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def move(connection: Connection, now: datetime, completed: int, failed: int) -> None:
    """Add files that end now."""
    given = {"at": timestamp(begin_of(now)), "good": completed, "bad": failed}
    connection.execute(MOVE[connection.dialect.name], given)


def between(connection: Connection, first: datetime, end: datetime) -> dict[str, tuple[int, int]]:
    """Completed and failed files by the begin of each minute from `first` to before `end` in which any ended."""
    given = {"first": timestamp(first), "end": timestamp(end)}
    return {row.at: (row.completed, row.failed) for row in connection.execute(BETWEEN, given)}


def forget(connection: Connection, before: datetime) -> None:
    connection.execute(delete(minutes).where(minutes.c.at < timestamp(before)))


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

MOVE = {
    name: insert(minutes)
    .values(at=bindparam("at"), completed=bindparam("good"), failed=bindparam("bad"))
    .on_conflict_do_update(
        index_elements=["at"],
        set_={"completed": minutes.c.completed + bindparam("good"), "failed": minutes.c.failed + bindparam("bad")},
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
BETWEEN = select(minutes).where(minutes.c.at >= bindparam("first"), minutes.c.at < bindparam("end"))
