"""What is written for remove.bg works here: its addresses, its parameters, its answers and its errors."""

import base64
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import remove_bg_api
import requests

from operations.params import Params
from tests.pictures import encode
from tests.queues import CUTOUT, LIMITS, PICTURE, finish, stored
from tests.test_docs import page, table_rows
from tests.web.site import Site
from tests.web.waiters import asking, claimed
from web.removebg_errors import THEIRS
from web.removebg_routes import KNOWN, in_our_words


def remove(site: Site, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
    return requests.post(
        f"{site.url}/v1.0/removebg",
        files={"image_file": ("cat.png", PICTURE)},
        data=fields,
        headers={"X-Api-Key": "anything", **(headers or {})},
        timeout=30,
    )


def removed(
    site: Site, headers: dict[str, str] | None = None, **fields: str
) -> tuple[dict[str, object], requests.Response]:
    """What the child is told, and the answer, which must be good."""
    with asking(lambda: remove(site, headers, **fields)) as answer:
        (lease,) = claimed(site)
        finish(site.queue, lease)
    assert answer.result().status_code == 200, answer.result().text
    assert lease.file.priority == "high"
    return dict(lease.file.params), answer.result()


def refused(answer: requests.Response, status: int, code: str) -> str:
    """The detail of a refusal, which must have remove.bg's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    (error,) = answer.json()["errors"]
    assert set(error) == {"title", "code", "detail"}
    assert error["code"] == code, answer.text
    return str(error["detail"])


# --- answers ------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_picture(site: Site) -> None:
    told, answer = removed(site)
    assert answer.content == CUTOUT
    assert answer.headers["Content-Type"] == "image/png"
    assert {name: answer.headers[name] for name in ("X-Width", "X-Height", "X-Type", "X-Credits-Charged")} == {
        "X-Width": "9",
        "X-Height": "9",
        "X-Type": "other",
        "X-Credits-Charged": "0",
    }
    assert (told["size"], told["on_no_subject"]) == ("preview", "fail"), "as there"


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json, text/plain, */*", False),
        ("*/*", False),
        ("image/*", False),
    ],
)
def test_json_is_for_those_who_take_nothing_else(site: Site, accept: str, is_json: bool) -> None:
    _, answer = removed(site, {"Accept": accept})
    if is_json:
        assert base64.b64decode(answer.json()["data"]["result_b64"]) == CUTOUT
        assert answer.headers["X-Credits-Charged"] == "0"
    else:
        assert answer.content == CUTOUT


def test_there_are_always_credits(site: Site) -> None:
    attributes = site.get("/v1.0/account").json()["data"]["attributes"]
    assert attributes["credits"]["total"] > 0
    assert set(attributes["credits"]) == {"total", "subscription", "payg", "enterprise"}
    assert set(attributes["api"]) == {"free_calls", "sizes"}


# --- parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        *[({"size": size}, {"size": "preview"}) for size in ("preview", "small", "regular")],
        *[({"size": size}, {}) for size in ("full", "4k", "50MP", "auto")],
        ({"size": "medium"}, {"size": "medium"}),
        ({"size": "hd"}, {"size": "hd"}),
        *[({"format": name}, {"format": name}) for name in ("png", "jpg", "webp")],
        ({"format": "zip"}, {"output": "layers"}),
        ({"channels": "alpha"}, {"output": "mask"}),
        ({"roi": "0% 0% 50% 100%"}, {"roi": "0% 0% 50% 100%"}),
        ({"crop": "true", "crop_margin": "10px 5%"}, {"crop": True, "crop_margin": "10px 5%"}),
        ({"scale": "80%"}, {"scale": 80}),
        ({"scale": "original", "position": "0% 100%"}, {"position": "0% 100%"}),
        ({"add_shadow": "true", "shadow_opacity": "70"}, {"shadow": True, "shadow_opacity": 70}),
        ({"bg_color": "81d4fa77"}, {"background_color": "81d4fa77"}),
        ({"bg_color": "", "roi": ""}, {}),
        ({"type": "person", "type_level": "2", "semitransparency": "false", "shadow_type": "3D"}, {}),
    ],
    ids=str,
)
def test_each_parameter_means_the_same(site: Site, fields: dict[str, str], params: dict[str, object]) -> None:
    told, _ = removed(site, None, **{"size": "full", **fields})
    assert told == {"model": "u2net", "on_no_subject": "fail", "png_compression": "fast", **params}
    assert Params.model_validate(told)


def test_numbers_and_truth_of_json_are_taken(site: Site) -> None:
    words = {"crop": True, "scale": "50%", "semitransparency": True, "shadow_opacity": 40, "bg_color": None}
    assert in_our_words(words) == in_our_words(
        {"crop": "True", "scale": "50%", "semitransparency": "true", "shadow_opacity": "40"}
    )


def test_a_background_picture_goes_with_it(site: Site) -> None:
    files = {"image_file": ("cat.png", PICTURE), "bg_image_file": ("sea.png", CUTOUT)}
    with asking(lambda: requests.post(f"{site.url}/v1.0/removebg", files=files, timeout=30)) as answer:
        (lease,) = claimed(site)
        finish(site.queue, lease)
    assert answer.result().status_code == 200
    assert lease.file.params["background_image"]


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "huge"),
        ("type", "ghost"),
        ("format", "gif"),
        ("channels", "rgb"),
        ("roi", "1 2 3"),
        ("crop", "perhaps"),
        ("crop_margin", "wide"),
        ("scale", "5%"),
        ("scale", "large"),
        ("position", "left"),
        ("bg_color", "blackish"),
        ("add_shadow", "long"),
        ("semitransparency", "half"),
        ("image_quality", "9"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(site: Site, name: str, value: str) -> None:
    # A margin counts with a crop only.
    refused(remove(site, None, **{"crop": "true", name: value}), 400, f"invalid_{name}")
    assert stored(site.queue.storage) == []


def test_what_comes_must_be_one_picture(site: Site) -> None:
    address = f"{site.url}/v1.0/removebg"
    nothing = {"size": (None, "auto")}
    refused(requests.post(address, files=nothing, timeout=30), 400, "missing_source")
    two = [("image_file", ("a.png", PICTURE)), ("image_file", ("b.png", PICTURE))]
    refused(requests.post(address, files=two, timeout=30), 400, "multiple_sources")
    behind = {"image_file": ("a.png", PICTURE), "bg_image_file": ("b.png", PICTURE)}
    red = {"bg_color": "red"}
    refused(requests.post(address, files=behind, data=red, timeout=30), 400, "multiple_bg_sources")
    behind["bg_image_file"] = ("b.txt", b"no picture")
    refused(requests.post(address, files=behind, timeout=30), 400, "failed_bg_download")
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "failed_to_read_image"),
        (b"no picture", "invalid_file_type"),
        (PICTURE[:20], "invalid_dimensions"),
        (PICTURE + bytes(70_000), "file_too_large"),
    ],
)
def test_a_bad_picture_is_refused(site: Site, content: bytes, code: str) -> None:
    files = {"image_file": ("a.png", content)}
    refused(requests.post(f"{site.url}/v1.0/removebg", files=files, timeout=30), 400, code)


@pytest.mark.parametrize(
    ("ours", "status", "theirs"),
    [
        ("no_subject_found", 400, "unknown_foreground"),
        ("broken_picture", 400, "failed_to_read_image"),
        ("invalid_roi", 400, "invalid_roi"),
        ("too_many_pixels", 400, "resolution_too_high"),
        ("timeout", 500, "timeout"),
    ],
)
def test_a_picture_that_fails_is_told(site: Site, ours: str, status: int, theirs: str) -> None:
    with asking(lambda: remove(site)) as answer:
        (lease,) = claimed(site)
        site.queue.fail(lease, ours, "It went wrong.")
    assert refused(answer.result(), status, theirs) == "It went wrong."


def test_a_full_queue_is_a_limit_of_the_rate(site: Site) -> None:
    site.queue.limits = replace(LIMITS, max_pending_files=0)
    answer = remove(site)
    refused(answer, 429, "rate_limit_exceeded")
    assert answer.headers["Retry-After"] == "10"


def test_without_the_token_the_key_is_wrong(locked: Site) -> None:
    refused(remove(locked), 403, "auth_failed")
    refused(locked.get("/v1.0/account"), 403, "auth_failed")
    assert locked.get("/v1.0/account", headers={"X-Api-Key": "s3cret"}).status_code == 200


def test_addresses_that_are_not_there(site: Site) -> None:
    refused(site.post("/v1.0/improve"), 404, "not_found")
    refused(site.get("/v1.0/removebg"), 405, "method_not_allowed")


def test_the_page_shows_the_same_table() -> None:
    rows = [row for row in table_rows("docs/drop_in.md") if len(row) == 2]
    shown = {ours: theirs for theirs, told in rows for ours in re.findall(r"\w+", told)}
    assert all(told.code in shown[ours] for ours, told in THEIRS.items())
    assert all(f"`{name}`" in page("docs/drop_in.md") for name in KNOWN)


# --- other ways to send a picture ---------------------------------------------------------------------------------


BASE64 = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    "ways",
    [
        {"files": {"image_file_b64": (None, BASE64)}},
        {"files": {"image_file_b64": (None, BASE64), "size": (None, "4k")}},
        {"data": {"image_file_b64": BASE64, "bg_color": ""}},
        {"data": {"bg_color": "red", "image_file_b64": BASE64}},
        {"data": {"image_file_b64": f"data:image/png;base64,{BASE64}"}},
        {"json": {"image_file_b64": BASE64, "crop": True, "bg_color": None, "scale": "50%"}},
        {"json": {"image_file_b64": f"data:image/png;base64,{BASE64}"}},
    ],
)
def test_a_picture_in_base64(site: Site, ways: dict[str, Any]) -> None:
    with asking(lambda: requests.post(f"{site.url}/v1.0/removebg", timeout=30, **ways)) as answer:
        (lease,) = claimed(site)
        assert site.queue.storage.get(lease.file.input_key) == PICTURE
        finish(site.queue, lease)
    assert answer.result().content == CUTOUT
    assert len(stored(site.queue.storage)) == 4, "nothing else is kept than upload, result and previews"


@pytest.mark.parametrize("kind", ["data", "json", "files"])
def test_base64_that_is_none(site: Site, kind: str) -> None:
    value: Any = (None, "%%%") if kind == "files" else "%%%"
    sent: dict[str, Any] = {kind: {"image_file_b64": value}}
    refused(requests.post(f"{site.url}/v1.0/removebg", timeout=30, **sent), 400, "failed_to_read_image")
    assert stored(site.queue.storage) == []


def test_a_large_picture_in_base64_comes_in_pieces(site: Site) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    picture = encode(noise, "PNG")
    site.queue.limits = replace(LIMITS, max_upload_bytes=2**20, max_request_bytes=2**20)
    text = base64.encodebytes(picture).decode()
    with asking(
        lambda: requests.post(f"{site.url}/v1.0/removebg", data={"image_file_b64": text, "size": "hd"}, timeout=30)
    ) as answer:
        (lease,) = claimed(site)
        assert site.queue.storage.get(lease.file.input_key) == picture
        finish(site.queue, lease)
    assert answer.result().status_code == 200
    assert lease.file.params["size"] == "hd"


@pytest.mark.parametrize("kind", ["data", "json", "files"])
def test_an_address_that_leads_nowhere_public(site: Site, kind: str) -> None:
    address = "http://127.0.0.1/cat.png"
    sent: dict[str, Any] = {kind: {"image_url": (None, address) if kind == "files" else address}}
    refused(requests.post(f"{site.url}/v1.0/removebg", timeout=30, **sent), 400, "failed_image_download")


def test_an_address_that_is_none(site: Site) -> None:
    answer = requests.post(f"{site.url}/v1.0/removebg", data={"image_url": "cat.png"}, timeout=30)
    refused(answer, 400, "invalid_image_url")


@pytest.mark.parametrize("kind", ["data", "json", "files"])
def test_two_sources_are_one_too_many(site: Site, kind: str) -> None:
    both = {"image_url": "http://example.com/cat.png", "image_file_b64": BASE64}
    fields: dict[str, Any] = {name: (None, text) for name, text in both.items()} if kind == "files" else both
    sent: dict[str, Any] = {kind: fields}
    refused(requests.post(f"{site.url}/v1.0/removebg", timeout=30, **sent), 400, "multiple_sources")
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"&".join(b"f%d=1" % number for number in range(200)), "application/x-www-form-urlencoded"),
        (b"picture", "text/plain"),
    ],
)
def test_a_body_that_cannot_be_read(site: Site, body: bytes, kind: str) -> None:
    answer = requests.post(f"{site.url}/v1.0/removebg", data=body, headers={"Content-Type": kind}, timeout=30)
    refused(answer, 400, "invalid_request")


# --- a client that we did not write -------------------------------------------------------------------------------


@pytest.fixture
def their_client(site: Site, monkeypatch: pytest.MonkeyPatch) -> remove_bg_api.RemoveBg:
    """It knows another host, and nothing else."""
    monkeypatch.setattr(remove_bg_api, "API_URL", f"{site.url}/v1.0")
    return remove_bg_api.RemoveBg("anything")


def test_their_client_sends_a_file(site: Site, their_client: remove_bg_api.RemoveBg) -> None:
    with asking(lambda: their_client.remove_bg_bytes(PICTURE, size="auto")) as answer:
        (lease,) = claimed(site)
        finish(site.queue, lease)
    assert answer.result() == CUTOUT
    assert their_client.account.balance() == their_client.account.free_api_calls(), "nothing was charged"


def test_their_client_sends_base64(site: Site, their_client: remove_bg_api.RemoveBg) -> None:
    with asking(lambda: their_client.remove_bg_base64(BASE64, size="full")) as answer:
        (lease,) = claimed(site)
        finish(site.queue, lease)
    assert answer.result() == CUTOUT


def test_their_client_understands_a_refusal(their_client: remove_bg_api.RemoveBg) -> None:
    with pytest.raises(remove_bg_api.Errors.ApiErrorCode400):
        their_client.remove_bg_bytes(b"no picture")
