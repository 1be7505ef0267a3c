"""The multipart body: exact in length, read piece by piece, honest when a file fails."""

from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from cli.trouble import Trouble
from cli.upload import CHUNK_BYTES, Upload

CONTENTS = {"plain.jpg": b"\xff\xd8" + b"\r\n--" * 50_000, 'ä "q"\nx.png': b"", "empty-not.gif": b"GIF89a"}


def folder_of(root: Path) -> list[Path]:
    for name, content in CONTENTS.items():
        (root / name).write_bytes(content)
    return [root / name for name in CONTENTS]


def parts_of(upload: Upload, body: bytes) -> list[Message]:
    head = f"Content-Type: multipart/form-data; boundary={upload.key}\r\n\r\n".encode()
    parts = message_from_bytes(head + body).get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def test_addresses_stand_among_the_files(tmp_path: Path) -> None:
    photo, *_ = folder_of(tmp_path)
    upload = Upload(["https://shop.example/ä.png", photo, "http://b.example"], lambda count: None)
    body = b"".join(upload)
    assert upload.len == len(body)
    parts = parts_of(upload, body)
    fields = [part.get_param("name", header="content-disposition") for part in parts]
    assert fields == ["image_url", "images", "image_url"]
    assert parts[0].get_payload(decode=True) == "https://shop.example/ä.png".encode()
    assert parts[1].get_payload(decode=True) == CONTENTS["plain.jpg"]


def test_what_belongs_to_all_goes_first(tmp_path: Path) -> None:
    photo, *_ = folder_of(tmp_path)
    upload = Upload([photo], lambda count: None, {"background_image_url": "https://shop.example/beach.png"})
    body = b"".join(upload)
    assert upload.len == len(body)
    behind, _ = parts_of(upload, body)
    assert behind.get_param("name", header="content-disposition") == "background_image_url"
    assert (behind.get_filename(), behind.get_payload()) == (None, "https://shop.example/beach.png")


def test_every_file_arrives_whole(tmp_path: Path) -> None:
    upload = Upload(folder_of(tmp_path), lambda count: None)
    pieces = list(upload)
    body = b"".join(pieces)
    assert upload.len == len(body)
    assert max(map(len, pieces)) <= CHUNK_BYTES
    parts = parts_of(upload, body)
    assert [part.get_payload(decode=True) for part in parts] == list(CONTENTS.values())
    assert {part.get_param("name", header="content-disposition") for part in parts} == {"images"}
    names = [part.get_filename() or "" for part in parts]
    assert names[0] == "plain.jpg"
    assert "%22q%22%0Ax.png" in names[1]


def test_progress_adds_up_when_it_is_sent_again(tmp_path: Path) -> None:
    counts: list[int] = []
    upload = Upload(folder_of(tmp_path), counts.append)
    for piece in upload:
        if len(piece) == CHUNK_BYTES:
            break
    assert list(upload)
    assert sum(counts) == sum(map(len, CONTENTS.values()))


def test_a_file_that_shrinks_is_named(tmp_path: Path) -> None:
    paths = folder_of(tmp_path)
    upload = Upload(paths, lambda count: None)
    paths[2].write_bytes(b"GIF")
    with pytest.raises(Trouble, match=r"empty-not\.gif became shorter"):
        list(upload)


def test_a_file_that_goes_is_named(tmp_path: Path) -> None:
    paths = folder_of(tmp_path)
    upload = Upload(paths, lambda count: None)
    paths[0].unlink()
    with pytest.raises(Trouble, match=r"Cannot read .*plain\.jpg: No such file"):
        list(upload)
