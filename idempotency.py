"""Idempotency keys of submits: taken before the pictures come, bound to the job that is made of them."""

import uuid
from collections.abc import Callable
from datetime import datetime

from database.job_store import JobStore
from database.key_store import KeyStore, KnownKey, Reservation
from errors import KeyReused


class IdempotencyKeys:
    """The keys of one queue."""

    def __init__(self, keys: KeyStore, jobs: JobStore, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._jobs = jobs
        self._clock = clock

    def reserve(self, key: str) -> Reservation | KnownKey:
        """Take a key before its files arrive. Raises SubmitInProgress."""
        known = self._keys.reserve(self._clock(), key, uuid.uuid4().hex)
        if isinstance(known, KnownKey) and self._jobs.get(known.job_id) is None:
            # Its job went with retention: the key starts anew.
            self._keys.drop(known)
            return self._keys.reserve(self._clock(), key, uuid.uuid4().hex)
        return known

    def renew(self, reservation: Reservation) -> None:
        """Its files are still coming."""
        self._keys.renew(self._clock(), reservation)

    def release(self, reservation: Reservation) -> None:
        """Nothing was queued under it."""
        self._keys.release(reservation)


def check_same(known: KnownKey, fingerprint: str) -> None:
    """Raises KeyReused when a key comes with another submit than before."""
    if fingerprint != known.fingerprint:
        raise KeyReused(
            f"The Idempotency-Key was used for job {known.job_id} with other pictures or parameters. "
            "Take a new key for a new job."
        )
