"""Work that somebody waits for: whoever wants the same meanwhile joins its job instead of making another.

The job stands in `idempotency_keys` under a key of the work. The row's token is the job's id until somebody joins.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from database.key_store import KEPT
from database.tables import idempotency_keys as keys
from database.tables import jobs
from job import UNFINISHED, Priority, timestamp

JOINED = "joined"


def work_key(reuse_key: str | None, priority: Priority) -> str | None:
    """Of work that is as urgent. No header can carry its line break, so no client can send it as a key of its own."""
    return None if reuse_key is None else f"work\n{reuse_key} {priority}"


def join(connection: Connection, key: str) -> str | None:
    """The unfinished job of this work, which is nobody's alone from now on; None when there is none."""
    same_work = select(jobs.c.id).join(keys, keys.c.job_id == jobs.c.id).where(keys.c.key == key)
    job_id = connection.execute(same_work.where(jobs.c.status.in_(UNFINISHED))).scalar()
    if job_id is not None:
        connection.execute(update(keys).where(keys.c.key == key).values(token=JOINED))
    return job_id


def share(connection: Connection, now: datetime, key: str, job_id: str) -> None:
    """Let others join a job, in the transaction that makes it."""
    connection.execute(delete(keys).where(keys.c.key == key))
    expires_at = timestamp(now + KEPT)
    connection.execute(insert(keys).values(key=key, token=job_id, job_id=job_id, expires_at=expires_at))


def withdraw(connection: Connection, key: str, job_id: str) -> bool:
    """Whether nobody has joined a job; then nobody can any more."""
    return connection.execute(delete(keys).where(keys.c.key == key, keys.c.token == job_id)).rowcount == 1
