"""Files in a folder: what is special about them, and what the operating system may refuse."""

import contextlib
import os
import pickle
import resource
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from errors import BlobMissing, StorageError
from job import utc_now
from storage.local import LocalStorage
from tests.queues import stored

KEY = "uploads/job/0"


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to write beyond `size` bytes, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(StorageError) as caught:
        act()
    assert not isinstance(caught.value, BlobMissing)
    return str(caught.value)


def test_a_disk_that_takes_no_more_is_an_error_that_names_no_path(storage: LocalStorage) -> None:
    with files_no_larger_than(1000):
        message = refusal(lambda: storage.put(KEY, bytes(5000)))
    assert message == "Storage could not write uploads/job/0: File too large."
    assert stored(storage) == []


def test_a_folder_that_cannot_be_made_is_an_error_that_names_no_path(storage: LocalStorage) -> None:
    storage.root.mkdir()
    (storage.root / "uploads").write_bytes(b"a file where a folder should be")
    for act in (lambda: storage.create(KEY), lambda: storage.get(KEY), lambda: storage.delete(KEY)):
        message = refusal(act)
        assert KEY in message
        assert str(storage.root) not in message
        assert message.endswith((": Not a directory.", ": File exists."))


def test_a_folder_at_the_place_of_a_blob_is_an_error_that_names_no_path(storage: LocalStorage) -> None:
    (storage.root / KEY).mkdir(parents=True)
    for act in (lambda: storage.open(KEY), lambda: storage.delete(KEY), lambda: storage.put(KEY, b"bytes")):
        message = refusal(act)
        assert KEY in message
        assert str(storage.root) not in message


def test_a_part_file_that_vanished_is_a_storage_error(storage: LocalStorage) -> None:
    writer = storage.create(KEY)
    for part in (storage.root / "uploads" / "job").iterdir():
        part.unlink()
    assert KEY in refusal(writer.reader)
    assert KEY in refusal(writer.commit)
    writer.discard()


def test_a_file_is_readable_by_its_owner_alone(storage: LocalStorage) -> None:
    storage.put(KEY, b"somebody's face")
    assert (storage.root / KEY).stat().st_mode & 0o077 == 0


def test_empty_folders_do_not_pile_up(storage: LocalStorage) -> None:
    storage.put(KEY, b"bytes")
    storage.delete(KEY)
    writer = storage.create("uploads/other/0")
    writer.discard()
    assert list((storage.root / "uploads").iterdir()) == []


def test_the_age_of_a_key_is_that_of_its_last_write(storage: LocalStorage) -> None:
    storage.put("uploads/old/0", b"1")
    storage.put("uploads/new/0", b"2")
    yesterday = (utc_now() - timedelta(days=1)).timestamp()
    os.utime(storage.root / "uploads/old/0", (yesterday, yesterday))
    assert list(storage.keys(utc_now() - timedelta(hours=23))) == ["uploads/old/0"]


def test_a_folder_that_was_never_written_to_has_no_keys(tmp_path: Path) -> None:
    assert stored(LocalStorage(tmp_path / "nothing")) == []


def test_nothing_is_told_of_what_cannot_be_read_ahead(storage: LocalStorage) -> None:
    for key in (KEY, "../outside", "no\0file"):
        storage.read_ahead(key)


def test_child_processes_get_the_same_storage(storage: LocalStorage) -> None:
    storage.put(KEY, b"bytes")
    assert pickle.loads(pickle.dumps(storage)).get(KEY) == b"bytes"
