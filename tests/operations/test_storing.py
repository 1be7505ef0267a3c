"""What a child leaves in storage: a result with its previews, or nothing."""

from pathlib import Path

import pytest

from errors import StorageError
from job import preview_keys
from operations.base import Result
from operations.child import store
from storage.local import LocalStorage
from tests.queues import stored

KEY = "results/a/0-token"
RESULT = Result(b"cutout", "image/png", "png", 1, 1, previews={"input": b"small photo", "result": b"small cutout"})


def test_previews_lie_beside_their_result(storage: LocalStorage) -> None:
    store(storage, KEY, RESULT)
    assert stored(storage) == sorted([KEY, *preview_keys(KEY)])
    assert [storage.get(key) for key in (KEY, *preview_keys(KEY))] == [b"cutout", b"small photo", b"small cutout"]


@pytest.mark.parametrize("unfit", ["", ".input", ".result"])
def test_without_room_for_one_of_them_none_is_left(storage: LocalStorage, unfit: str) -> None:
    """Else every attempt would fill a full disk a little more."""
    in_the_way = Path(storage.root, KEY + unfit)
    (in_the_way / "full").mkdir(parents=True)
    with pytest.raises(StorageError):
        store(storage, KEY, RESULT)
    assert stored(storage) == []
