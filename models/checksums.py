"""Checksums of large files, computed once for every change of the file."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def digest_of(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


class ChecksumCache:
    """Remembers a digest until the file's size or time of change differs.

    It is kept in a small stamp file, so that the next process need not read 176 MB again, and in memory, for a
    weights folder that cannot be written to.
    """

    def __init__(self) -> None:
        self._memory: dict[Path, Mapping[str, object]] = {}

    def known(self, path: Path, stamp: Path, algorithm: str) -> str | None:
        """The digest if it was computed since the file last changed; reads no more than the stamp."""
        identity = _identity(path)
        for record in (self._memory.get(path), _read(stamp)):
            if record and {key: record.get(key) for key in identity} == identity:
                digest = record.get(algorithm)
                return digest if isinstance(digest, str) else None
        return None

    def digest(self, path: Path, stamp: Path, algorithm: str) -> str:
        """The digest, computed only when it is not known. Raises OSError."""
        return self.known(path, stamp, algorithm) or self.renew(path, stamp, algorithm)

    def renew(self, path: Path, stamp: Path, algorithm: str) -> str:
        """The digest, computed in any case. Raises OSError."""
        # Taken before reading: a change during it makes the record stale, never wrong.
        identity = _identity(path)
        digest = digest_of(path, algorithm)
        record = {**identity, algorithm: digest}
        self._memory[path] = record
        # Not being able to write (a read-only image, somebody else's folder) costs time only.
        with contextlib.suppress(OSError):
            _write(stamp, record)
        return digest


def _identity(path: Path) -> dict[str, object]:
    status = path.stat()
    return {"path": str(path), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _read(stamp: Path) -> Mapping[str, object] | None:
    try:
        record = json.loads(stamp.read_text())
    except (OSError, ValueError):
        # No stamp, or a broken one: the digest is computed again.
        return None
    return record if isinstance(record, dict) else None


def _write(stamp: Path, record: Mapping[str, object]) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    draft = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    draft.write_text(json.dumps(record))
    draft.replace(stamp)
