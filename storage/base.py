"""What the queue asks of a place that keeps bytes."""

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Protocol


class BlobWriter(Protocol):
    """Bytes on their way into storage: nobody sees them under their key before `commit`."""

    key: str

    def write(self, chunk: bytes) -> None: ...

    def reader(self) -> BinaryIO:
        """What has been written so far, for looking at its header."""
        ...

    def commit(self) -> None:
        """Make them durable and visible; after it a power cut loses nothing."""
        ...

    def discard(self) -> None:
        """Forget them, committed or not. Safe to call twice."""
        ...


class Storage(Protocol):
    """Blobs by key (`uploads/…/0`). Raises BlobMissing and StorageError. Picklable: child processes use it too."""

    def create(self, key: str) -> BlobWriter: ...

    def put(self, key: str, data: bytes) -> None:
        """Visible at once and all of it, but durable only after `flush`."""
        ...

    def flush(self, key: str) -> None:
        """After it a power cut loses nothing of what was put."""
        ...

    def read_ahead(self, key: str) -> None:
        """Somebody will get it soon: have it at hand by then, if that can be done without waiting."""
        ...

    def copy(self, source: str, target: str) -> None:
        """The same bytes under another key, too; as with `put`, durable only after `flush`. Raises BlobMissing."""
        ...

    def get(self, key: str) -> bytes: ...

    def open(self, key: str) -> BinaryIO: ...

    def delete(self, key: str) -> None:
        """Remove a blob; a missing one is no error."""
        ...

    def free_bytes(self) -> int:
        """Room that is left. Raises StorageError when nothing can be written at all."""
        ...

    def keys(self, older_than: datetime) -> Iterator[str]:
        """Every key last written before `older_than`, unfinished writes included."""
        ...
