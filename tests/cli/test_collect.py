"""Which files are meant, in which order, in which jobs."""

from pathlib import Path

import pytest

from cli.collect import JOB_BYTES, PART_BYTES, Picture, batches, collect
from cli.trouble import Trouble


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def names_of(pictures: list[Picture]) -> list[str]:
    return [name.as_posix() for _, name in pictures]


def test_a_folder_gives_its_pictures_as_people_count(tmp_path: Path) -> None:
    folder_of(tmp_path, "img10.jpg", "img2.JPG", "Img1.heic", "notes.txt", ".hidden.jpg", "sub/a.png")
    assert names_of(collect(str(tmp_path), False, None)) == ["Img1.heic", "img2.JPG", "img10.jpg"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://shop.example/photos/my%20cat.jpg?width=300#top", "my cat.jpg"),
        ("HTTP://shop.example/w_200,h_100/cat.png", "cat.png"),
        ("https://shop.example", "image"),
        ("https://shop.example/a/..", "image"),
        ("https://shop.example/..%2f..%2fetc%2fpasswd", "passwd"),
    ],
)
def test_an_address_is_a_picture_named_after_its_last_part(address: str, name: str) -> None:
    (picture,) = collect(address, False, None)
    assert (picture.source, picture.name, picture.size) == (address, Path(name), 0)


def test_recursive_keeps_the_folders_inside(tmp_path: Path) -> None:
    folder_of(tmp_path, "b.png", "a/10/x.png", "a/9/x.png", ".cache/c.png")
    found = collect(str(tmp_path), True, None)
    assert names_of(found) == ["a/9/x.png", "a/10/x.png", "b.png"]
    assert [path for path, _ in found] == [tmp_path / name for _, name in found]


def test_earlier_results_inside_the_folder_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, "photos/a.jpg", "photos/out/a.png")
    monkeypatch.chdir(tmp_path)
    assert names_of(collect("photos", True, "photos/out")) == ["a.jpg"]
    assert names_of(collect("photos", True, str(tmp_path / "photos"))) == ["a.jpg", "out/a.png"]
    assert names_of(collect("photos", True, ".")) == ["a.jpg", "out/a.png"]


def test_a_pattern_that_the_shell_left_alone(tmp_path: Path) -> None:
    folder_of(tmp_path, "a10.jpg", "a9.jpg", "b.jpg", "sub/a1.jpg")
    assert names_of(collect(str(tmp_path / "a*.jpg"), False, None)) == ["a9.jpg", "a10.jpg"]
    assert names_of(collect(str(tmp_path / "**" / "a*.jpg"), False, None)) == ["a9.jpg", "a10.jpg", "a1.jpg"]


def test_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    folder_of(tmp_path, "scan[1]", ".hidden.jpg")
    assert names_of(collect(str(tmp_path / "scan[1]"), False, None)) == ["scan[1]"]
    assert names_of(collect(str(tmp_path / ".hidden.jpg"), False, None)) == [".hidden.jpg"]


@pytest.mark.parametrize(
    ("name", "message"), [("none.jpg", "No such file"), ("*.gif", "No such file"), ("", "No pict")]
)
def test_nothing_there(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(Trouble, match=message):
        collect(str(tmp_path / name), False, None)


def sparse(root: Path, *sizes: int) -> list[Picture]:
    """Files of these sizes that take no room."""
    pictures = [Picture(root / f"{number}.jpg", Path(f"{number}.jpg")) for number in range(len(sizes))]
    for picture, size in zip(pictures, sizes, strict=True):
        with Path(picture.source).open("wb") as file:
            file.truncate(size)
    return pictures


def test_jobs_have_at_most_so_many_files(tmp_path: Path) -> None:
    pictures = sparse(tmp_path, *[1] * 11)
    jobs = batches(pictures, 5, JOB_BYTES)
    assert [len(job) for job in jobs] == [5, 5, 1]
    assert [picture for job in jobs for picture in job] == pictures


def test_jobs_have_at_most_so_many_bytes(tmp_path: Path) -> None:
    room = 3000
    jobs = batches(sparse(tmp_path, 1000, 1000, 2500, 9000, 500, 500), 100, room + 2 * PART_BYTES)
    sizes = [[picture.size for picture in job] for job in jobs]
    assert sizes == [[1000, 1000], [2500], [9000], [500, 500]]


def test_a_generous_service_still_gets_jobs_of_a_sensible_size(tmp_path: Path) -> None:
    assert len(batches(sparse(tmp_path, JOB_BYTES // 2, JOB_BYTES // 2), 500, 100 * JOB_BYTES)) == 2
