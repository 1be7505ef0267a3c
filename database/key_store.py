"""Idempotency keys: the same submit sent again makes no second job."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from database.engine import Database
from database.tables import idempotency_keys as keys
from errors import SubmitInProgress
from job import timestamp

# A reservation whose request died must not block the client's next try for long; a living one renews it.
RESERVED = timedelta(seconds=45)
KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Reservation:
    """The right to make the job of a key. `fingerprint` tells what was submitted, once that is known."""

    key: str
    token: str
    fingerprint: str | None = None


@dataclass(frozen=True)
class KnownKey:
    """A key that made a job already."""

    key: str
    fingerprint: str
    job_id: str


class KeyStore:
    """Rows of `idempotency_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, now: datetime, key: str, token: str) -> Reservation | KnownKey:
        """Take a key, or learn what it made. Raises SubmitInProgress while another request stores its files."""
        with self._database.write() as connection:
            connection.execute(delete(keys).where(keys.c.key == key, over(now)))
            row = connection.execute(select(keys).where(keys.c.key == key)).first()
            if row is None:
                connection.execute(insert(keys).values(key=key, token=token, expires_at=timestamp(now + RESERVED)))
                return Reservation(key, token)
            if row.job_id is None:
                raise SubmitInProgress("A request with this Idempotency-Key is still being stored. Try again soon.")
            return KnownKey(key, row.fingerprint, row.job_id)

    def renew(self, now: datetime, reservation: Reservation) -> None:
        """Keep a reservation while its files arrive."""
        with self._database.write() as connection:
            connection.execute(
                update(keys).where(still_reserved(reservation)).values(expires_at=timestamp(now + RESERVED))
            )

    def release(self, reservation: Reservation) -> None:
        """Give a key back after its request was refused."""
        with self._database.write() as connection:
            connection.execute(delete(keys).where(still_reserved(reservation)))

    def drop(self, known: KnownKey) -> None:
        """Forget a key whose job is gone."""
        with self._database.write() as connection:
            connection.execute(delete(keys).where(keys.c.key == known.key, keys.c.job_id == known.job_id))

    def forget(self, now: datetime, limit: int) -> int:
        """Delete keys whose time is over; how many."""
        with self._database.write() as connection:
            old = select(keys.c.key).where(keys.c.expires_at <= timestamp(now)).limit(limit)
            return connection.execute(delete(keys).where(keys.c.key.in_(old))).rowcount


def over(now: datetime) -> ColumnElement[bool]:
    """Its time has come; or it is a reservation from further in the future than any, made under another clock."""
    absurd = and_(keys.c.job_id.is_(None), keys.c.expires_at > timestamp(now + 2 * RESERVED))
    return or_(keys.c.expires_at <= timestamp(now), absurd)


def still_reserved(reservation: Reservation) -> ColumnElement[bool]:
    """Only the row that this very request reserved, as long as no job came of it."""
    return and_(keys.c.key == reservation.key, keys.c.token == reservation.token, keys.c.job_id.is_(None))


def bind_key(connection: Connection, now: datetime, reservation: Reservation, job_id: str) -> None:
    """Say which job a key made, in the transaction that makes it. Raises SubmitInProgress when the key was lost."""
    bound = connection.execute(
        update(keys)
        .where(still_reserved(reservation))
        .values(job_id=job_id, fingerprint=reservation.fingerprint, expires_at=timestamp(now + KEPT))
    ).rowcount
    if not bound:
        raise SubmitInProgress("This request was silent for too long, and another one took its Idempotency-Key.")
