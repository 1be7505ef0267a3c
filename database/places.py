"""How far a file is from its turn, told quickly however long the queue is."""

from sqlalchemy import Connection, bindparam, func, select

from database import counting
from database.tables import IS_PENDING
from database.tables import job_files as files

# No more files than these are counted, since many clients ask often; what lies further away is estimated.
COUNTED_FILES = 500


def first_pending_before(connection: Connection, job_id: str) -> int | None:
    """Pending files before the job's next one; None when none of its files waits."""
    first = connection.execute(FIRST_PENDING, {"job": job_id}).first()
    return None if first is None else pending_before(connection, first.id, first.priority)


def pending_before(connection: Connection, file_id: int, rank: int) -> int:
    """Pending files before this one: counted up to COUNTED_FILES each of more urgent and of earlier ones.

    Beyond that the earlier ones are estimated. Ids rise with the queue, so between a file that was counted and this
    one lie about as many as their ids are apart, and never more than wait in all.
    """
    place = {"file": file_id, "rank": rank}
    more_urgent: int = connection.execute(COUNT_MORE_URGENT, place).scalar_one()
    last_counted: int | None = connection.execute(LAST_COUNTED, place).scalar()
    if last_counted is None:
        earlier: int = connection.execute(COUNT_EARLIER, place).scalar_one()
        return more_urgent + earlier
    others = counting.read(connection).get(counting.FILES + "pending", 0) - 1
    return min(more_urgent + COUNTED_FILES + file_id - last_counted - 1, others)


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

FIRST_PENDING = (
    select(files.c.id, files.c.priority)
    .where(files.c.job_id == bindparam("job"), files.c.status == IS_PENDING)
    .order_by(files.c.position)
    .limit(1)
)
PENDING = select(files.c.id).where(files.c.status == IS_PENDING)
# Two counts, since each can then use the index.
MORE_URGENT = PENDING.where(files.c.priority < bindparam("rank"))
EARLIER = PENDING.where(files.c.priority == bindparam("rank"), files.c.id < bindparam("file"))
COUNT_MORE_URGENT = select(func.count()).select_from(MORE_URGENT.limit(COUNTED_FILES).subquery())
COUNT_EARLIER = select(func.count()).select_from(EARLIER.subquery())
LAST_COUNTED = EARLIER.order_by(files.c.id).limit(1).offset(COUNTED_FILES - 1)
