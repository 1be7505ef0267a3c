"""A submit as JSON: what is understood, what is refused, and that large pictures never stand in memory."""

import base64
import io
import json
from collections.abc import Iterator

import pytest
import requests

from errors import RequestTooLarge
from storage.local import LocalStorage
from submission import Submission
from tests.queues import LIMITS, PICTURE, stored
from tests.web.shapes import Submitted, answer, problem
from tests.web.site import Site
from web.json_body import LONG_TEXT_BYTES, MAX_OUTLINE_BYTES, Reader, from_base64, unescaped

TEXT = base64.b64encode(PICTURE).decode()
LARGE = PICTURE.ljust(LIMITS.max_upload_bytes, b"\xff")
LARGE_TEXT = base64.b64encode(LARGE).decode()
JSON = {"Content-Type": "application/json"}


def post(site: Site, body: str | bytes | Iterator[bytes]) -> requests.Response:
    return site.post("/queue/submit", data=body, headers=JSON)


def assert_nothing_is_stored(site: Site) -> None:
    assert stored(site.queue.storage) == []
    assert site.queue.get_job_stats()["total"] == 0


def queued(site: Site, response: requests.Response) -> tuple[list[str], list[bytes]]:
    """Names and bytes of the pictures; nothing else is in storage."""
    told = answer(response, 202, Submitted)
    keys = stored(site.queue.storage)
    assert keys == [f"uploads/{told['job_id']}/{n}" for n in range(told["files_count"])]
    return list(site.queue.job(told["job_id"]).filenames), [site.queue.storage.get(key) for key in keys]


TAKEN = {
    "a list": ({"images": [{"base64": TEXT, "filename": "cat.png"}]}, ["cat.png"]),
    "no name": ({"images": [{"base64": TEXT}]}, ["image-1"]),
    "a path": ({"images": [{"base64": TEXT, "filename": "../../etc/cat.png"}]}, ["cat.png"]),
    "image_b64": ({"image_b64": TEXT}, ["image-1"]),
    "image_b64 as a list": ({"image_b64": [TEXT, TEXT]}, ["image-1", "image-2"]),
    "a data URI": ({"image_b64": f"data:image/png;base64,{TEXT}"}, ["image-1"]),
    "a data URI with parameters": ({"image_b64": f"DATA:image/png;charset=x;base64,{TEXT}"}, ["image-1"]),
    "lines": ({"image_b64": "\r\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76))}, ["image-1"]),
    "nulls": ({"image_b64": TEXT, "images": None, "image_url": None, "model": None}, ["image-1"]),
    "empty addresses": ({"image_b64": TEXT, "image_url": "", "image_urls": []}, ["image-1"]),
}


@pytest.mark.parametrize(("document", "names"), TAKEN.values(), ids=TAKEN)
def test_pictures_in_base64_are_taken(site: Site, document: object, names: list[str]) -> None:
    assert queued(site, post(site, json.dumps(document))) == (names, [PICTURE] * len(names))


def test_parameters_stand_beside_the_pictures(site: Site) -> None:
    body = {"model": "u2netp", "priority": "high", "image_b64": TEXT, "quality": 80, "shadow": True}
    response = site.post("/queue/submit?model=u2net&cache=off", data=json.dumps(body), headers=JSON)
    told = answer(response, 202, Submitted)
    assert (told["model"], response.json()["priority"]) == ("u2netp", "high")


def test_addresses_and_base64_keep_their_order(site: Site) -> None:
    before = site.app.state.fetching
    document = {
        "image_url": "http://10.0.0.1/a.png",
        "images": [{"base64": TEXT, "filename": "b.png"}, {"url": "http://10.0.0.1/x", "filename": "c.png"}],
        "image_urls": ["http://10.0.0.1/d.png", "http://10.0.0.1/e.png"],
    }
    told = problem(post(site, json.dumps(document)), 422, "invalid_files")
    assert [(file["index"], file["filename"]) for file in told["rejected"]] == [
        (0, "a.png"), (2, "c.png"), (3, "d.png"), (4, "e.png"),
    ]  # fmt: skip
    assert {file["code"] for file in told["rejected"]} == {"forbidden_url"}
    assert site.app.state.fetching is before
    assert_nothing_is_stored(site)


ESCAPES = {
    "slashes, as PHP writes them": LARGE_TEXT.replace("/", "\\/"),
    "plus signs, as .NET writes them": LARGE_TEXT.replace("+", "\\u002B"),
    "every letter": "".join(f"\\u{ord(letter):04x}" for letter in LARGE_TEXT),
    "line breaks": "\\r\\n".join(LARGE_TEXT[at : at + 76] for at in range(0, len(LARGE_TEXT), 76)),
    "none": LARGE_TEXT,
}


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("piece", [1000, 1 << 20], ids=["small pieces", "at once"])
def test_a_large_picture_is_taken_however_it_is_written(site: Site, text: str, piece: int) -> None:
    body = f'{{"images": [{{"filename": "large.png", "base64": "data:image\\/png;base64,{text}"}}]}}'.encode()
    pieces = (body[at : at + piece] for at in range(0, len(body), piece))
    assert queued(site, post(site, pieces)) == (["large.png"], [LARGE])


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7])
def test_texts_are_found_wherever_a_body_is_cut(storage: LocalStorage, piece: int) -> None:
    long = 'ab\\\\\\"\\u00e9' * (LONG_TEXT_BYTES // 8)
    body = f'{{"a": "x\\\\", "{{\\"": ["", "\\"", 1.5], "long": "{long}", "b": "é"}}'.encode()
    submission = Submission(storage, LIMITS, "job")
    reader = Reader(submission)
    for at in range(0, len(body), piece):
        reader.feed(body[at : at + piece])
    document = reader.finish()
    ((name, writer),) = reader.long_texts.items()
    assert document == {"a": "x\\", '{"': ["", '"', 1.5], "long": name, "b": "é"}
    with writer.reader() as stream:
        assert stream.read() == long.encode()
    submission.discard()


def test_of_two_values_under_one_name_nothing_is_left_of_the_first(site: Site) -> None:
    body = f'{{"image_b64": "{LARGE_TEXT[:-8]}", "image_b64": "{LARGE_TEXT}"}}'
    assert queued(site, post(site, body)) == (["image-1"], [LARGE])


def test_what_comes_is_written_and_not_kept_in_memory(storage: LocalStorage) -> None:
    submission = Submission(storage, LIMITS, "job")
    reader = Reader(submission)
    reader.feed(b'{"image_b64": "')
    for _ in range(100):
        reader.feed(b"AAAA" * 1000)
    (part,) = (path for path in storage.root.rglob("*") if path.is_file())
    assert part.stat().st_size == 400_000
    submission.discard()
    assert stored(storage) == []


BAD_BASE64 = {
    "no base64": "Dear cat!",
    "short": TEXT[:-1],
    "too short": "A",
    "padding in the middle": "AAA=" + TEXT,
    "padding in the middle of a large one": "AAA=" + LARGE_TEXT,
    "too much padding": TEXT + "====",
    "another alphabet": "-_-_" * 10,
    "letters of another script": "猫猫猫猫",
    "a data URI of text": "data:text/plain,hello",
    "two data URIs": "data:image/png;base64,data:image/png;base64," + TEXT,
}


@pytest.mark.parametrize("text", BAD_BASE64.values(), ids=BAD_BASE64)
def test_what_is_no_base64_is_rejected_as_a_bad_file(site: Site, text: str) -> None:
    body = json.dumps({"images": [{"base64": TEXT}, {"base64": text, "filename": "bad.png"}]})
    told = problem(post(site, body), 422, "invalid_files")
    assert [(file["index"], file["filename"], file["code"]) for file in told["rejected"]] == [
        (1, "bad.png", "invalid_base64")
    ]
    assert_nothing_is_stored(site)


def test_skip_queues_the_good_ones(site: Site) -> None:
    body = json.dumps({"on_invalid": "skip", "image_b64": ["?", TEXT, "", base64.b64encode(b"x" * 99).decode()]})
    response = post(site, body)
    assert queued_count(site, response) == 1
    codes = [file["code"] for file in response.json()["rejected"]]
    assert codes == ["invalid_base64", "empty_file", "not_a_picture"]


def queued_count(site: Site, response: requests.Response) -> int:
    return site.queue.job(answer(response, 202, Submitted)["job_id"]).total_files


def test_a_picture_beyond_the_limit_is_rejected(site: Site) -> None:
    body = json.dumps({"image_b64": base64.b64encode(LARGE + b"x").decode()})
    told = problem(post(site, body), 422, "invalid_files")
    assert told["rejected"][0]["code"] == "file_too_large"
    assert_nothing_is_stored(site)


def test_all_pictures_together_may_be_too_large(site: Site) -> None:
    problem(post(site, json.dumps({"image_b64": [LARGE_TEXT] * 3})), 413, "request_too_large")
    assert_nothing_is_stored(site)


def test_a_body_without_end_is_refused(site: Site) -> None:
    endless = iter([b'{"image_b64": "', *[b"AAAA" * 16384] * 30])
    problem(post(site, endless), 413, "request_too_large")
    assert_nothing_is_stored(site)


def test_one_file_too_many_is_refused(site: Site) -> None:
    problem(post(site, json.dumps({"image_b64": [TEXT] * 6})), 413, "too_many_files")
    assert_nothing_is_stored(site)


MALFORMED = {
    "nothing": b"",
    "no object": b"[]",
    "a text": b'"images"',
    "cut in a text": b'{"image_b64": "iVBO',
    "cut in a long text": b'{"image_b64": "' + LARGE_TEXT.encode(),
    "cut in an escape": b'{"image_b64": "iVBO\\',
    "cut behind a text": b'{"image_b64": "iVBO"',
    "no JSON": b"images=cat.png",
    "another quote": b"{'image_b64': 'x'}",
    "not a number": b'{"quality": NaN}',
    "beyond numbers": b'{"quality": Infinity}',
    "a number without end": b'{"quality": ' + b"9" * 10_000 + b"}",
    "deep": b'{"a":' * 100_000,
    "not UTF-8": b'{"model": "\xff"}',
    "UTF-16": '{"image_b64": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a wrong escape": b'{"model": "\\x"}',
    "half of a surrogate pair": b'{"images": [{"\\ud800": "x"}]}',
    "more than one": b"{}{}",
    "a long name": b'{"' + b"a" * 20_000 + b'" "b"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_cannot_be_read_is_refused(site: Site, body: bytes) -> None:
    assert "JSON body" in problem(post(site, body), 400, "malformed_upload")["detail"]
    assert_nothing_is_stored(site)


REFUSED = {
    "no pictures": ({}, "no_files", "images"),
    "an unknown name": ({"image_b64": TEXT, "colour": "red"}, "invalid_request", "colour"),
    "an unknown name in a picture": ({"images": [{"base64": TEXT, "name": "x"}]}, "invalid_request", "images[0]: name"),
    "both": ({"images": [{"base64": TEXT, "url": "http://a.example"}]}, "invalid_request", "either url or base64"),
    "neither": ({"images": [{"filename": "a.png"}]}, "invalid_request", "either url or base64"),
    "no list": ({"images": {"base64": TEXT}}, "invalid_request", "a list"),
    "texts": ({"images": [TEXT]}, "invalid_request", "images[0]"),
    "a number": ({"images": [{"base64": 1}]}, "invalid_request", "images[0]"),
    "a number as base64": ({"image_b64": 1}, "invalid_request", "image_b64"),
    "an object as address": ({"image_url": {"url": "http://a.example"}}, "invalid_request", "image_url"),
    "numbers as addresses": ({"image_urls": [1]}, "invalid_request", "image_urls"),
    "a long parameter": ({"image_b64": TEXT, "model": "x" * 20_000}, "invalid_request", "model is longer"),
    "a long address": ({"image_url": "x" * 20_000}, "invalid_request", "image_url is longer"),
    "a long name": ({"images": [{"base64": TEXT, "filename": "x" * 20_000}]}, "invalid_request", "filename is longer"),
    "a wrong parameter": ({"image_b64": TEXT, "priority": "urgent"}, "invalid_request", "priority"),
    "an unknown model": ({"image_b64": TEXT, "model": "u2nett"}, "unknown_model", "u2nett"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_a_document_that_makes_no_sense_is_refused(site: Site, document: object, code: str, words: str) -> None:
    assert words in problem(post(site, json.dumps(document)), 422, code)["detail"]
    assert_nothing_is_stored(site)


def test_a_flood_beside_the_pictures_is_refused(storage: LocalStorage) -> None:
    reader = Reader(Submission(storage, LIMITS, "job"))
    with pytest.raises(RequestTooLarge, match="Beside the pictures"):
        for _ in range(MAX_OUTLINE_BYTES // 1000 + 1):
            reader.feed(b"[" * 1000)


def test_base64_may_be_cut_anywhere() -> None:
    for size in (1, 2, 3, 4, 5, 100):
        for length in range(12):
            content = bytes(range(length))
            text = base64.b64encode(content).decode()
            pieces = [text[at : at + size] for at in range(0, len(text), size)]
            assert b"".join(from_base64(pieces)) == content


@pytest.mark.parametrize("pieces", [["AAA=B", "BBB"], ["AAA=", "BBBB"], ["AAA", "=BBBB"]])
def test_nothing_may_follow_the_padding_wherever_the_text_is_cut(pieces: list[str]) -> None:
    with pytest.raises(ValueError, match="padding"):
        list(from_base64(pieces))


def test_an_escape_at_the_end_of_a_block_is_not_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    written = "ab\\/\\u002B\\n" * 50
    for size in range(7, 30):
        monkeypatch.setattr("web.json_body.DECODE_BYTES", size)
        assert "".join(unescaped(io.BytesIO(written.encode()))) == "ab/+\n" * 50
