"""What goes by itself: old jobs with their bytes, bytes of nobody, keys and notes whose time is over."""

import logging
from datetime import datetime, timedelta
from itertools import islice

from database.job_store import JobStore
from database.key_store import KeyStore
from errors import StorageError
from job import preview_keys
from storage.base import Storage

logger = logging.getLogger(__name__)

# Small, so that the write lock is never held for long.
EXPIRE_BATCH = 20
FORGET_BATCH = 1000
ORPHAN_BATCH = 500
# An upload may take hours on a slow line; only bytes older than this can be left over from a crash.
ORPHAN_AGE = timedelta(hours=24)
EXPIRED_MEMORY = timedelta(days=90)
# Rows of workers on machines that never came back.
SILENT_WORKER = timedelta(days=1)


def delete_old_jobs(now: datetime, days: float, jobs: JobStore, keys: KeyStore, storage: Storage) -> int:
    """Delete jobs that ended more than `days` ago, with their uploads and results; how many."""
    total = 0
    while True:
        count, blobs = jobs.expire(now, now - timedelta(days=days), EXPIRE_BATCH)
        for key in blobs:
            delete_bytes(storage, key)
        total += count
        if count == 0:
            break
    while jobs.forget_expired(now - EXPIRED_MEMORY, FORGET_BATCH) or keys.forget(now, FORGET_BATCH):
        pass
    if total:
        logger.info("%d jobs older than %g days deleted", total, days)
    return total


def delete_orphans(now: datetime, age: timedelta, jobs: JobStore, storage: Storage) -> int:
    """Delete bytes older than `age` that no row refers to, left over from crashes; how many blobs."""
    deleted = 0
    # Only `room/owner/name`: beside them lie the worker's lock and the fork server's socket.
    old = (key for key in storage.keys(now - age) if key.count("/") == 2)
    while batch := list(islice(old, ORPHAN_BATCH)):
        for key in set(batch) - jobs.used_keys({key.split("/")[1] for key in batch}):
            delete_bytes(storage, key)
            deleted += 1
    if deleted:
        logger.warning("%d orphan blobs deleted", deleted)
    return deleted


def delete_result(storage: Storage, output_key: str) -> None:
    for key in (output_key, *preview_keys(output_key)):
        delete_bytes(storage, key)


def delete_bytes(storage: Storage, key: str) -> None:
    try:
        storage.delete(key)
    except StorageError as error:
        logger.warning("blob %s is left for the sweep: %s", key, error)
