"""Never the same work twice: a result is taken again for the same bytes, operation, parameters and weights."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from database.file_store import FileStore
from errors import ServiceError
from job import Lease, NewFile, Outcome
from models.catalog import Model
from storage.base import Storage

logger = logging.getLogger(__name__)

# To be raised when an operation makes something better of the same request: what it made before is not taken again.
EDITION = 1


def with_reuse_keys(
    files: Sequence[NewFile], operation: str, params: Mapping[str, object], model: Model
) -> list[NewFile]:
    """Each with a key that equals that of another file exactly when their results are equal.

    Weights that an operator may exchange have no checksum, and then there is no key.
    """
    weights = [file.checksum for file in model.files]
    if None in weights:
        return list(files)
    work = json.dumps([EDITION, operation, dict(params), weights], sort_keys=True)
    return [
        replace(file, reuse_key=hashlib.sha256(f"{file.input_sha256} {work}".encode()).hexdigest()) for file in files
    ]


def has_earlier_result(lease: Lease, files: FileStore) -> bool:
    """By one look into the database. Raises nothing: nobody works yet on what was claimed together with this file."""
    try:
        return lease.file.reuse_key is not None and files.with_result(lease.file.reuse_key) is not None
    except Exception:
        logger.exception("job %s file %d: no earlier result", lease.file.job_id, lease.file.position)
        return False


def earlier_result(lease: Lease, files: FileStore, storage: Storage) -> Outcome | None:
    """The kept result of the same work, copied to this attempt's own key; None when there is none to be had."""
    if lease.file.reuse_key is None:
        return None
    try:
        found = files.with_result(lease.file.reuse_key)
        if found is None:
            return None
        outcome = replace(found, output_key=lease.output_key, seconds=0.0, cached=True)
        storage.copy(found.output_key, outcome.output_key)
        return outcome
    except ServiceError as error:  # gone with retention meanwhile, or trouble: it can be made again
        logger.warning("job %s file %d: no earlier result: %s", lease.file.job_id, lease.file.position, error)
        return None
