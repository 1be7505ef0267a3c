"""What people did to jobs and to the queue, and which attempts at files failed: written where it happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from database.engine import Database
from database.tables import history
from job import timestamp


@dataclass(frozen=True)
class NewLine:
    """`by` is the address of a person, None for what the service did. `part_of`: the line of an act on many jobs."""

    act: str
    by: str | None = None
    job_id: str | None = None
    position: int | None = None
    code: str | None = None
    detail: str | None = None
    part_of: int | None = None


@dataclass(frozen=True)
class Line:
    """One that was written; `at` as `timestamp` text."""

    id: int
    at: str
    act: str
    by: str | None
    job_id: str | None
    position: int | None
    code: str | None
    detail: str | None


def note(connection: Connection, now: datetime, lines: Sequence[NewLine]) -> None:
    if lines:
        connection.execute(INSERT, [values(now, line) for line in lines])


def note_whole(connection: Connection, now: datetime, line: NewLine, line_id: int | None) -> int:
    """The line of an act on many jobs: written with its first transaction, brought up to date with the others."""
    if line_id is None:
        written: int = connection.execute(INSERT.returning(history.c.id), values(now, line)).scalar_one()
        return written
    connection.execute(update(history).where(history.c.id == line_id).values(detail=line.detail))
    return line_id


def values(now: datetime, line: NewLine) -> dict[str, object]:
    return {
        "at": timestamp(now),
        "act": line.act,
        "actor": line.by,
        "job_id": line.job_id,
        "position": line.position,
        "code": line.code,
        "detail": line.detail,
        "part_of": line.part_of,
    }


class HistoryStore:
    """Rows of `history`. Those of a job go with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acts(self, limit: int, before: int | None) -> list[Line]:
        """What people did, newest first; an act on many jobs is one line."""
        statement = ACTS if before is None else ACTS.where(history.c.id < before)
        with self._database.read() as connection:
            return [Line(*row) for row in connection.execute(statement.limit(limit))]

    def of_job(self, job_id: str, limit: int, after: int) -> list[Line]:
        """Lines beyond one, oldest first."""
        given = {"job": job_id, "after": after, "limit": limit}
        with self._database.read() as connection:
            return [Line(*row) for row in connection.execute(OF_JOB, given)]

    def forget(self, before: datetime, limit: int) -> int:
        """Delete lines of no job that were written before a moment; how many."""
        with self._database.write() as connection:
            return connection.execute(
                delete(history).where(history.c.id.in_(OLD.limit(limit))), {"before": timestamp(before)}
            ).rowcount


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

INSERT = insert(history)
LINES = select(*(history.c[name] for name in ("id", "at", "act", "actor", "job_id", "position", "code", "detail")))
ACTS = LINES.where(history.c.actor.is_not(None), history.c.part_of.is_(None)).order_by(history.c.id.desc())
OF_JOB = (
    LINES.where(history.c.job_id == bindparam("job"), history.c.id > bindparam("after"))
    .order_by(history.c.id)
    .limit(bindparam("limit"))
)
OLD = select(history.c.id).where(history.c.job_id.is_(None), history.c.at < bindparam("before"))
