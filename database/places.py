"""How far a file is from its turn, told quickly however long the queue is."""

from sqlalchemy import Connection, bindparam, func, select

from database import counting
from database.tables import IS_PENDING
from database.tables import job_files as files

# No more files than these are counted, since many clients ask often; what lies further away is estimated.
COUNTED_FILES = 1_000


def first_pending_before(connection: Connection, job_id: str) -> int | None:
    """Pending files before the job's next one; None when none of its files waits."""
    first = connection.execute(FIRST_PENDING, {"job": job_id}).first()
    return None if first is None else pending_before(connection, first.id, first.priority)


def pending_before(connection: Connection, file_id: int, rank: int) -> int:
    """Pending files before this one: counted up to COUNTED_FILES each of more urgent and of earlier ones.

    Beyond that the earlier ones are estimated. Ids rise with the queue, so about as many lie between the first file
    that waits and this one as their ids are apart, and never more than wait in all.
    """
    place = {"file": file_id, "rank": rank}
    more_urgent: int = connection.execute(COUNT_MORE_URGENT, place).scalar_one()
    earlier: int = connection.execute(COUNT_EARLIER, place).scalar_one()
    if earlier < COUNTED_FILES:
        return more_urgent + earlier
    apart: int = file_id - connection.execute(FIRST_EARLIER, place).scalar_one()
    others = counting.read(connection).get(counting.FILES + "pending", 0) - 1
    return max(COUNTED_FILES, min(more_urgent + apart, others))


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
COUNT_EARLIER = select(func.count()).select_from(EARLIER.limit(COUNTED_FILES).subquery())
FIRST_EARLIER = EARLIER.order_by(files.c.id).limit(1)
