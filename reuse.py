"""Never the same work twice: a result is taken again for the same bytes, operation, parameters and weights."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from database.file_store import FileStore
from errors import BlobMissing, ServiceError
from job import Lease, NewFile, Outcome, preview_keys
from models.catalog import Model
from storage.base import Storage

logger = logging.getLogger(__name__)

# To be raised when an operation makes something better of the same request: what it made before is not taken again.
EDITION = 2


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


class EarlierResults:
    """What was worked out before, and is still kept. Raises nothing: what cannot be had can be made again."""

    def __init__(self, files: FileStore, storage: Storage) -> None:
        self._files = files
        self._storage = storage

    def has(self, lease: Lease) -> bool:
        """Whether there is a result of the same work, by one look into the database."""
        try:
            return self._of_same_work(lease) is not None
        except Exception as error:  # noqa: BLE001 - nobody works yet on what was claimed together with this file
            self._warn(lease, error)
            return False

    def take(self, lease: Lease) -> Outcome | None:
        """It, copied to this attempt's own key and ready to be completed with; None when there is none to be had."""
        try:
            found = self._of_same_work(lease)
            if found is None:
                return None
            outcome = replace(found, output_key=lease.output_key, seconds=0.0, cached=True)
            self._storage.copy(found.output_key, outcome.output_key)
            for old, new in zip(preview_keys(found.output_key), preview_keys(outcome.output_key), strict=True):
                with suppress(BlobMissing):
                    self._storage.copy(old, new)
            return outcome
        except ServiceError as error:  # gone with retention meanwhile, or trouble
            self._warn(lease, error)
            return None

    def _of_same_work(self, lease: Lease) -> Outcome | None:
        return None if lease.file.reuse_key is None else self._files.with_result(lease.file.reuse_key)

    def _warn(self, lease: Lease, error: Exception) -> None:
        unforeseen = None if isinstance(error, ServiceError) else error
        message = "job %s file %d: no earlier result: %s"
        logger.warning(message, lease.file.job_id, lease.file.position, error, exc_info=unforeseen)
