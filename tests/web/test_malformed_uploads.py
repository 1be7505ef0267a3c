"""Uploads that are broken in every way we could think of: always a clear refusal, never a crash, nothing stored."""

from collections.abc import Iterator

import pytest
import requests

from tests.queues import LIMITS, PICTURE, stored
from tests.web.bodies import BOUNDARY, CONTENT_TYPE, END, field, image, part, request
from tests.web.shapes import Submitted, answer, problem
from tests.web.site import Site, wait_until
from web.multipart import OVERHEAD_BYTES


def upload(site: Site, body: bytes | Iterator[bytes]) -> requests.Response:
    return site.post("/queue/submit", data=body, headers={"Content-Type": CONTENT_TYPE})


def assert_nothing_is_stored(site: Site) -> None:
    assert stored(site.queue.storage) == []
    assert site.queue.get_job_stats()["total"] == 0


BROKEN = {
    "no final boundary": image(),
    "cut in the picture": image()[:-100],
    "cut in the headers": image()[:60],
    "cut in the boundary": image() + END[:9],
    "only a boundary": b"--" + BOUNDARY,
    "nothing at all": b"",
    "garbage": b"\0\xff" * 500,
    "another boundary": image().replace(BOUNDARY, b"different") + END.replace(BOUNDARY, b"different"),
    "a header without a colon": part(b'form-data; name="images"; filename="a.png"', headers=b"no colon here") + END,
    "an empty header name": part(b'form-data; name="images"; filename="a.png"', headers=b": value") + END,
    "a huge header": part(b'form-data; name="images"; filename="a.png"', headers=b"X-Huge: " + b"x" * 100_000) + END,
    "a huge filename": image(b"x" * 100_000) + END,
    "hundreds of headers": part(b'form-data; name="images"; filename="a"', headers=b"\r\n".join([b"X: y"] * 500)) + END,
    "text before the first boundary": b"This is a multipart message.\r\n" + image() + END,
    "line feeds alone": (image() + END).replace(b"\r\n", b"\n"),
}  # fmt: skip


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_body_is_refused(site: Site, body: bytes) -> None:
    told = problem(
        site.post("/queue/submit", data=body, headers={"Content-Type": CONTENT_TYPE}), 400, "malformed_upload"
    )
    assert "multipart" in told["detail"]
    assert_nothing_is_stored(site)


def test_a_flood_of_empty_fields_is_refused(site: Site) -> None:
    flood = b"".join(field(b"field%d" % number, b"") for number in range(1000))
    told = problem(upload(site, flood + image() + END), 400, "malformed_upload")
    assert "More than 100 form fields" in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "image/png",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=" + BOUNDARY.decode(),
        "multipart/form-data; boundary=" + "x" * 300,
        "x" * 5000,
        "; boundary=x",
    ],
    ids=lambda value: repr(value)[:50],
)
def test_another_content_type_is_refused(site: Site, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    problem(site.post("/queue/submit", data=image() + END, headers=headers), 400, "malformed_upload")
    assert_nothing_is_stored(site)


def test_a_body_that_is_no_form_is_told_how_to_send_one(site: Site) -> None:
    told = problem(site.post("/queue/submit", data={"images": "cat.png"}), 400, "malformed_upload")
    for words in ("multipart/form-data", "'images'", "curl -F"):
        assert words in told["detail"]


@pytest.mark.parametrize("name", ["image", "file", "Images", "images[]", ""])
def test_files_in_another_field_are_refused_by_its_name(site: Site, name: str) -> None:
    body = image() + part(f'form-data; name="{name}"; filename="b.png"'.encode()) + END
    told = problem(
        site.post("/queue/submit", data=body, headers={"Content-Type": CONTENT_TYPE}), 400, "malformed_upload"
    )
    assert f"{name!r}" in told["detail"]
    assert "'images'" in told["detail"]
    assert_nothing_is_stored(site)


def test_unknown_form_fields_are_refused_by_name(site: Site) -> None:
    told = problem(site.submit([("cat.png", PICTURE)], modle="u2netp", colour="red"), 422, "invalid_request")
    assert "colour, modle" in told["detail"]
    assert_nothing_is_stored(site)


def test_unknown_query_parameters_are_refused_by_name(site: Site) -> None:
    told = problem(site.submit([("cat.png", PICTURE)], "?modle=u2netp"), 422, "invalid_request")
    assert "modle" in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("fields", [[b"x" * 70_000], [b"x" * 30_000] * 3], ids=["one", "several"])
def test_large_form_fields_are_refused(site: Site, fields: list[bytes]) -> None:
    body = image() + b"".join(field(b"model", value) for value in fields) + END
    problem(upload(site, body), 413, "request_too_large")
    assert_nothing_is_stored(site)


TAKEN = {
    "as a browser sends it": (image(), "cat.png"),
    "no filename": (part(b'form-data; name="images"'), "image-1"),
    "an empty filename": (image(b""), "image-1"),
    "no quotes": (part(b"form-data; name=images; filename=cat.png"), "cat.png"),
    "a quoted quote": (image(b'say \\"cat\\".png'), 'say "cat".png'),
    "utf-8": (image("猫 😀.png".encode()), "猫 😀.png"),
    "latin-1": (image("é.png".encode("latin-1")), "\N{REPLACEMENT CHARACTER}.png"),
    "a path": (image(b"../../etc/cat.png"), "cat.png"),
    "a path of Windows": (image(b"C:\\\\Users\\\\me\\\\cat.png"), "cat.png"),
    "upper-case headers": (image().replace(b"Content-Disposition", b"CONTENT-DISPOSITION"), "cat.png"),
    "text after the last part": (image() + END + b"\r\nGoodbye.\r\n", "cat.png"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "filename"), TAKEN.values(), ids=TAKEN)
def test_what_clients_really_send_is_understood(site: Site, body: bytes, filename: str) -> None:
    told = answer(upload(site, body + END), 202, Submitted)
    assert site.queue.job(told["job_id"]).filenames == (filename,)
    assert site.queue.storage.get(f"uploads/{told['job_id']}/0") == PICTURE


def test_a_body_in_tiny_pieces_is_understood(site: Site) -> None:
    body = image(b"a.png") + field(b"model", b"u2netp") + image(b"b.png") + END
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))
    told = answer(upload(site, pieces), 202, Submitted)
    assert (told["files_count"], told["model"]) == (2, "u2netp")
    assert [site.queue.storage.get(key) for key in stored(site.queue.storage)] == [PICTURE] * 2


def test_a_length_beyond_the_limit_is_refused_before_the_body_is_sent(site: Site) -> None:
    received = site.send(request(b"", {"Content-Length": f"{10**15}"}))
    assert received.startswith(b"HTTP/1.1 413")
    assert b"request_too_large" in received
    assert_nothing_is_stored(site)


def test_a_body_without_a_length_is_refused_once_it_is_too_large(site: Site) -> None:
    pieces = [image()[:-20], *[bytes(65536)] * ((LIMITS.max_request_bytes + 2 * 2**20) // 65536)]
    problem(upload(site, iter(pieces)), 413, "request_too_large")
    assert_nothing_is_stored(site)


def test_a_body_without_an_end_is_refused_while_it_is_still_coming(site: Site) -> None:
    head = request(b"", {"Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
    pieces = [image()[:-20], *[bytes(65536)] * ((LIMITS.max_request_bytes + OVERHEAD_BYTES) // 65536 + 1)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert site.send(head + chunks).startswith(b"HTTP/1.1 413")
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("sent", [image()[:-20], image(), image() + image()[:-20]], ids=["half a file", "one", "more"])
def test_a_client_that_goes_away_leaves_nothing(site: Site, sent: bytes) -> None:
    with site.connection() as connection:
        connection.sendall(request(sent, {"Content-Length": f"{len(sent) + 1000}"}))
        wait_until(lambda: stored(site.queue.storage) != [])
    wait_until(lambda: stored(site.queue.storage) == [])
    assert_nothing_is_stored(site)
