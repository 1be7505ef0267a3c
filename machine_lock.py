"""One worker a machine: of all processes that share a data directory, the one that holds this lock."""

from pathlib import Path

from filelock import FileLock, Timeout

from errors import StorageError


class MachineLock:
    """A file lock. The operating system frees it in the moment its holder dies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "worker.lock", thread_local=False)

    @property
    def held(self) -> bool:
        return self._lock.is_locked

    def try_to_take(self) -> None:
        """Without waiting. Raises StorageError when the file itself cannot be used."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return
        except OSError as error:
            raise StorageError(f"The lock of this machine's worker cannot be taken: {error.strerror}.") from error

    def release(self) -> None:
        self._lock.release()
