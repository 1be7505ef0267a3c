"""A submit on its way in: what it takes, what it rejects and why, and that nothing of a refused one stays."""

import hashlib
from pathlib import Path

import pytest

from errors import RequestTooLarge, StorageError, TooManyFiles
from storage.local import LocalStorage
from submission import Submission, clean_filename
from tests.pictures import encode, ramp
from tests.queues import LIMITS, PICTURE, stored

WIDE = encode(ramp(2000, 501), "PNG")


@pytest.fixture
def submission(storage: LocalStorage) -> Submission:
    return Submission(storage, LIMITS, "job")


def send(submission: Submission, name: str, content: bytes, piece: int = 1000) -> None:
    upload = submission.add(name)
    for start in range(0, len(content), piece):
        upload.write(content[start : start + piece])
    upload.finish()


def test_a_picture_is_stored_whole_and_described(submission: Submission, storage: LocalStorage) -> None:
    send(submission, "cat.png", PICTURE, piece=7)
    (file,) = submission.accepted
    assert submission.rejected == []
    assert storage.get(file.input_key) == PICTURE
    assert (file.filename, file.input_bytes, file.input_format) == ("cat.png", len(PICTURE), "png")
    assert file.input_sha256 == hashlib.sha256(PICTURE).hexdigest()


def test_the_bytes_and_not_the_name_say_what_a_picture_is(submission: Submission) -> None:
    send(submission, "cat.txt", encode(ramp(), "JPEG"))
    send(submission, "letter.png", b"Dear cat, " * 20)
    assert [file.input_format for file in submission.accepted] == ["jpeg"]
    assert [file.filename for file in submission.rejected] == ["letter.png"]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty_file", "empty"),
        (b"Dear cat, " * 20, "not_a_picture", "not a picture"),
        (PICTURE[:20], "broken_header", "ends in the middle"),
        (WIDE, "too_many_pixels", "megapixels"),
        (PICTURE + bytes(LIMITS.max_upload_bytes), "file_too_large", "larger than the 0.0625 MiB"),
    ],
    ids=["empty", "a letter", "a broken header", "too many pixels", "too many bytes"],
)
def test_what_cannot_be_a_picture_of_ours_is_rejected_and_not_kept(
    submission: Submission, storage: LocalStorage, content: bytes, code: str, words: str
) -> None:
    send(submission, "good.png", PICTURE)
    send(submission, "bad.png", content)
    (rejected,) = submission.rejected
    assert (rejected.index, rejected.filename, rejected.code) == (1, "bad.png", code)
    assert words in rejected.reason
    assert rejected.reason.endswith(".")
    assert stored(storage) == [submission.accepted[0].input_key]


def test_a_file_of_exactly_the_largest_size_is_taken(submission: Submission) -> None:
    send(submission, "padded.png", PICTURE.ljust(LIMITS.max_upload_bytes, b"\0"))
    assert submission.rejected == []


def test_no_more_bytes_of_a_too_large_file_are_stored_than_allowed(
    submission: Submission, storage: LocalStorage
) -> None:
    upload = submission.add("large.png")
    for _ in range(100):
        upload.write(bytes(1024))
    (part,) = (path for path in storage.root.rglob("*") if path.is_file())
    assert part.stat().st_size <= LIMITS.max_upload_bytes
    submission.discard()


def test_one_file_too_many_is_refused(submission: Submission) -> None:
    for n in range(LIMITS.max_files_per_job):
        send(submission, f"{n}.png", PICTURE)
    with pytest.raises(TooManyFiles, match="at most 5 files"):
        submission.add("one-more.png")
    submission.discard()


def test_all_files_together_may_be_too_large(submission: Submission) -> None:
    content = PICTURE.ljust(LIMITS.max_upload_bytes, b"\0")
    send(submission, "1.png", content)
    send(submission, "2.png", content)
    with pytest.raises(RequestTooLarge, match=r"at most 0\.1562 MiB in all"):
        send(submission, "3.png", content)
    submission.discard()


def test_bytes_of_rejected_files_count_too(submission: Submission) -> None:
    with pytest.raises(RequestTooLarge):
        send(submission, "endless.png", bytes(LIMITS.max_request_bytes + 1))
    submission.discard()


def test_discarding_removes_finished_rejected_and_unfinished_files(
    submission: Submission, storage: LocalStorage
) -> None:
    send(submission, "good.png", PICTURE)
    send(submission, "empty.png", b"")
    submission.add("unfinished.png").write(b"half")
    submission.discard()
    submission.discard()
    assert stored(storage) == []


def test_bytes_that_cannot_be_removed_are_reported(submission: Submission, storage: LocalStorage) -> None:
    send(submission, "good.png", PICTURE)
    target = storage.root / submission.accepted[0].input_key
    target.unlink()
    (target / "folder").mkdir(parents=True)
    with pytest.raises(StorageError, match="could not be removed") as caught:
        submission.discard()
    assert str(storage.root) not in str(caught.value)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("cat.png", "cat.png"),
        ("Ünïcode 猫 😀.jpg", "Ünïcode 猫 😀.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("..\\..\\cat.png", "cat.png"),
        ('say "cat".png', 'say "cat".png'),
        ("a\r\nSet-Cookie: b.png", "aSet-Cookie: b.png"),
        ("null\0byte.png", "nullbyte.png"),
        ("gnp\u202egpj.exe", "gnpgpj.exe"),
        ("lone\udc80surrogate.png", "lonesurrogate.png"),
        ("  spaces .png ", "spaces .png"),
        ("", "image-3"),
        (".", "image-3"),
        ("..", "image-3"),
        ("folder/", "image-3"),
        ("\u200b", "image-3"),
        (".png", ".png"),
    ],
)
def test_only_the_harmless_last_part_of_a_name_is_kept(sent: str, kept: str) -> None:
    assert clean_filename(sent, 2) == kept


@pytest.mark.parametrize("sent", ["x" * 500 + ".jpeg", "x" * 500, "." + "x" * 500, "a." + "x" * 500])
def test_a_long_name_is_cut_and_keeps_a_real_extension(sent: str) -> None:
    kept = clean_filename(sent, 0)
    assert len(kept) == 200
    assert kept.endswith(".jpeg") == sent.endswith(".jpeg")


def test_names_never_reach_the_disk(submission: Submission, storage: LocalStorage) -> None:
    send(submission, "../../secret/cat.png", PICTURE)
    assert [Path(key).name for key in stored(storage)] == ["0"]
