"""What workers tell of themselves, and the switches that they obey: read by whichever process is asked."""

import json
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from database.engine import Database
from database.history_store import NewLine, note
from database.rows import to_worker
from database.tables import switches, workers
from job import WorkerState, timestamp

PAUSED = "paused"
PROBE = "probe"


class WorkerStore:
    """Rows of `workers` and `switches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, worker: WorkerState) -> None:
        values = asdict(worker) | {"state": json.dumps(worker.state)}
        with self._database.write() as connection:
            if not connection.execute(update(workers).where(workers.c.id == worker.id).values(values)).rowcount:
                connection.execute(insert(workers).values(values))

    def check_writable(self) -> None:
        """Raises DatabaseError. A row that comes and goes: a change of nothing would never reach the disk."""
        with self._database.write() as connection:
            connection.execute(insert(switches).values(name=PROBE, value=""))
            connection.execute(delete(switches).where(switches.c.name == PROBE))

    def remove(self, worker_id: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker_id))

    def forget_silent(self, before: datetime) -> None:
        """Delete workers that were last heard of before a moment."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.heartbeat_at < timestamp(before)))

    def all(self) -> list[WorkerState]:
        with self._database.read() as connection:
            return [to_worker(row) for row in connection.execute(WORKERS).mappings()]

    def set_paused(self, now: datetime, paused: bool, by: str | None) -> bool:
        """Whether that was a change; it is a line of the history then."""
        with self._database.write() as connection:
            if (connection.execute(IS_PAUSED).first() is not None) is paused:
                return False
            if paused:
                connection.execute(insert(switches).values(name=PAUSED, value="true"))
            else:
                connection.execute(delete(switches).where(switches.c.name == PAUSED))
            note(connection, now, [NewLine("pause" if paused else "resume", by)])
            return True

    def is_paused(self) -> bool:
        with self._database.read() as connection:
            return connection.execute(IS_PAUSED).first() is not None


# Built once: SQLAlchemy takes several times as long to build a statement as to run it.
WORKERS = select(workers).order_by(workers.c.started_at)
IS_PAUSED = select(switches.c.name).where(switches.c.name == PAUSED)
