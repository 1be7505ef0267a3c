"""What the queue asks of every kind of storage."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from errors import BlobMissing, StorageError
from job import utc_now
from storage.base import Storage
from tests.queues import stored

KEY = "uploads/job/0"
READ: dict[str, Callable[[Storage], object]] = {
    "get": lambda storage: storage.get(KEY),
    "open": lambda storage: storage.open(KEY),
}


def test_bytes_come_back_as_they_were_put(storage: Storage) -> None:
    content = bytes(range(256)) * 5000
    storage.put(KEY, content)
    assert storage.get(KEY) == content
    with storage.open(KEY) as stream:
        assert stream.read(3) + stream.read() == content


def test_what_was_put_can_be_made_durable_and_read_ahead(storage: Storage) -> None:
    storage.put(KEY, b"bytes")
    storage.flush(KEY)
    storage.read_ahead(KEY)
    assert storage.get(KEY) == b"bytes"
    storage.delete(KEY)
    storage.read_ahead(KEY)
    with pytest.raises(StorageError):
        storage.flush(KEY)


def test_a_copy_stays_when_the_first_goes(storage: Storage) -> None:
    storage.put(KEY, b"bytes")
    storage.copy(KEY, "uploads/other/3")
    storage.copy(KEY, "uploads/other/3")
    storage.delete(KEY)
    assert storage.get("uploads/other/3") == b"bytes"
    with pytest.raises(BlobMissing):
        storage.copy(KEY, "uploads/other/4")
    assert stored(storage) == ["uploads/other/3"]


def test_an_empty_blob_is_a_blob(storage: Storage) -> None:
    storage.put(KEY, b"")
    assert storage.get(KEY) == b""


def test_bytes_are_written_in_pieces(storage: Storage) -> None:
    writer = storage.create(KEY)
    writer.write(b"one ")
    writer.write(b"two")
    writer.commit()
    assert storage.get(KEY) == b"one two"


def test_what_was_written_so_far_can_be_looked_at(storage: Storage) -> None:
    writer = storage.create(KEY)
    writer.write(b"header")
    with writer.reader() as stream:
        assert stream.read() == b"header"
    writer.write(b" and more")
    writer.commit()
    assert storage.get(KEY) == b"header and more"


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_nobody_sees_bytes_before_they_are_committed(storage: Storage, read: Callable[[Storage], object]) -> None:
    writer = storage.create(KEY)
    writer.write(b"half of it")
    with pytest.raises(BlobMissing):
        read(storage)
    writer.discard()


def test_a_blob_is_replaced_at_once(storage: Storage) -> None:
    storage.put(KEY, b"old")
    writer = storage.create(KEY)
    writer.write(b"new")
    assert storage.get(KEY) == b"old"
    writer.commit()
    assert storage.get(KEY) == b"new"
    assert stored(storage) == [KEY]


def test_two_writers_of_one_key_do_not_mix(storage: Storage) -> None:
    first, second = storage.create(KEY), storage.create(KEY)
    first.write(b"aaaa")
    second.write(b"bb")
    first.commit()
    second.commit()
    assert storage.get(KEY) == b"bb"
    assert stored(storage) == [KEY]


@pytest.mark.parametrize("committed", [False, True], ids=["unfinished", "committed"])
def test_discarding_leaves_nothing_and_can_be_done_twice(storage: Storage, committed: bool) -> None:
    writer = storage.create(KEY)
    writer.write(b"unwanted")
    if committed:
        writer.commit()
    writer.discard()
    writer.discard()
    assert stored(storage) == []


def test_discarding_one_blob_keeps_its_neighbours(storage: Storage) -> None:
    storage.put("uploads/job/1", b"kept")
    writer = storage.create(KEY)
    writer.write(b"unwanted")
    writer.discard()
    assert stored(storage) == ["uploads/job/1"]


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_a_missing_blob_is_named_by_its_key(storage: Storage, read: Callable[[Storage], object]) -> None:
    with pytest.raises(BlobMissing, match=KEY):
        read(storage)


def test_deleting_twice_is_no_error(storage: Storage) -> None:
    storage.put(KEY, b"bytes")
    storage.put("uploads/job/1", b"kept")
    storage.delete(KEY)
    storage.delete(KEY)
    assert stored(storage) == ["uploads/job/1"]


def test_keys_lists_what_is_old_enough_and_unfinished_writes_too(storage: Storage) -> None:
    storage.put("uploads/a/0", b"1")
    storage.put("results/a/0-token", b"2")
    unfinished = storage.create("uploads/b/0")
    unfinished.write(b"3")
    keys = stored(storage)
    assert [key for key in keys if key.startswith("uploads/b/")]
    assert len(keys) == 3
    assert list(storage.keys(utc_now() - timedelta(hours=1))) == []
    unfinished.discard()


@pytest.mark.parametrize("key", ["../secret", "uploads/../../secret", "/etc/hostname", "uploads/job/../../../secret"])
@pytest.mark.parametrize(
    "use",
    [
        lambda storage, key: storage.create(key),
        lambda storage, key: storage.put(key, b"bytes"),
        lambda storage, key: storage.get(key),
        lambda storage, key: storage.open(key),
        lambda storage, key: storage.delete(key),
    ],
    ids=["create", "put", "get", "open", "delete"],
)
def test_a_key_that_points_outside_is_refused(
    storage: Storage, key: str, use: Callable[[Storage, str], object]
) -> None:
    with pytest.raises(StorageError, match="outside"):
        use(storage, key)
