"""Reading jobs in the order of their latest changes."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from database import changes
from database.engine import Database
from database.job_store import LISTED
from database.rows import to_job
from database.tables import jobs
from job import Job


class ChangeStore:
    """What has changed since, for those who follow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """The number given last; 0 before the first."""
        with self._database.read() as connection:
            return changes.newest(connection)

    def since(self, number: int, limit: int) -> Sequence[Job]:
        """Jobs with a later change, each once and as it is now, without results; oldest change first."""
        with self._database.read() as connection:
            rows = connection.execute(SINCE, {"number": number, "limit": limit})
            return [to_job(row) for row in rows.mappings()]


# Built once: SQLAlchemy takes several times as long to build a statement as to run it.
SINCE = select(*LISTED).where(jobs.c.changed > bindparam("number")).order_by(jobs.c.changed).limit(bindparam("limit"))
