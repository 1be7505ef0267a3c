"""Pictures by address: fetched into the job in the order of the request, and refused like bad files."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import requests

from fetching import Fetcher
from tests.pictures import encode, ramp
from tests.queues import LIMITS, PICTURE, claim, stored
from tests.service import SAMPLES, running
from tests.strangers import Stranger, answers, stranger, then_silence
from tests.web.bodies import END, field, image, request
from tests.web.shapes import Submitted, answer, problem
from tests.web.site import Site, wait_until
from web.sources import AT_ONCE, FetchSlots, listed

PICTURES = [encode(ramp(8 + n, 8), "PNG") for n in range(5)]
HOST = "pictures.example"
Allow = Callable[..., None]


@pytest.fixture
def album() -> Iterator[Stranger]:
    """/0 … /4 are pictures, /letter is none, and anything else is not found."""

    def speech(asked: bytes, connection: object) -> None:
        name = asked.split()[1].decode().partition("?")[0].rpartition("/")[2].partition(".")[0]
        if name.isdecimal():
            reply = answers(PICTURES[int(name)])
        else:
            reply = answers(b"Dear cat, " * 20) if name == "letter" else answers(b"", status="404 Not Found")
        reply(asked, connection)  # type: ignore[arg-type]

    with stranger(speech) as server:
        yield server


@pytest.fixture
def allow(site: Site) -> Iterator[Allow]:
    """Lets the site fetch from servers of the test."""
    before = site.app.state.fetching

    def allow(*servers: Stranger, **fields: object) -> None:
        ports = {server.port for server in servers}
        fetcher = Fetcher(
            True, LIMITS.max_upload_bytes, ports, (HOST,), 20.0, resolve=lambda _host, _port: [ip_address("127.0.0.1")]
        )
        site.app.state.fetching = FetchSlots(replace(fetcher, **fields))  # type: ignore[arg-type]

    yield allow
    site.app.state.fetching = before


@pytest.fixture
def urls(album: Stranger, allow: Allow) -> list[str]:
    allow(album)
    return [f"http://{HOST}:{album.port}/{n}.png" for n in range(len(PICTURES))]


def assert_nothing_is_stored(site: Site) -> None:
    assert stored(site.queue.storage) == []
    assert site.queue.get_job_stats()["total"] == 0


def assert_queued(site: Site, response: requests.Response, names: list[str], pictures: list[bytes]) -> None:
    job_id = answer(response, 202, Submitted)["job_id"]
    assert list(site.queue.job(job_id).filenames) == names
    assert [site.queue.storage.get(f"uploads/{job_id}/{n}") for n in range(len(pictures))] == pictures
    assert len(stored(site.queue.storage)) == len(pictures)


def test_the_query_alone_is_enough(site: Site, urls: list[str]) -> None:
    response = site.post("/queue/submit", params={"image_url": urls[0], "model": "u2netp"})
    assert_queued(site, response, ["0.png"], PICTURES[:1])
    assert response.json()["model"] == "u2netp"


@pytest.mark.parametrize("glue", [" ", ",", ", ", "\n", "JSON"])
def test_several_come_in_one_list(site: Site, urls: list[str], glue: str) -> None:
    text = f'["{urls[2]}", "{urls[0]}"]' if glue == "JSON" else glue.join([urls[2], urls[0]])
    response = site.post("/queue/submit", params={"image_urls": text})
    assert_queued(site, response, ["2.png", "0.png"], [PICTURES[2], PICTURES[0]])


def test_all_ways_are_mixed_and_the_order_is_that_of_the_request(site: Site, urls: list[str]) -> None:
    body = (
        field(b"image_url", urls[1].encode()) + image(b"a.png") + field(b"image_urls", urls[2].encode())
        + image(b"empty.png", b"") + field(b"model", b"u2netp") + field(b"image_url", b"")
    )  # fmt: skip
    query = {"image_url": urls[0], "on_invalid": "skip"}
    headers = {"Content-Type": "multipart/form-data; boundary=----boundary7MA4YWxk"}
    response = site.post("/queue/submit", params=query, data=body + END, headers=headers)
    names = ["0.png", "1.png", "a.png", "2.png"]
    assert_queued(site, response, names, [*PICTURES[:2], PICTURE, PICTURES[2]])
    assert [(file["index"], file["filename"]) for file in response.json()["rejected"]] == [(4, "empty.png")]


def test_more_addresses_come_than_other_fields_may(site: Site, allow: Allow) -> None:
    with stranger(answers(PICTURE)) as server:
        allow(server)
        address = f"http://{HOST}:{server.port}/cat.png?".encode()
        body = b"".join(field(b"image_url", address + b"x" * 20_000) for _ in range(5))
        headers = {"Content-Type": "multipart/form-data; boundary=----boundary7MA4YWxk"}
        told = problem(site.post("/queue/submit", data=body + END, headers=headers), 422, "invalid_files")
        assert [file["code"] for file in told["rejected"]] == ["invalid_url"] * 5
        body = b"".join(field(b"image_url", b"") for _ in range(200)) + field(b"image_url", address)
        assert_queued(site, site.post("/queue/submit", data=body + END, headers=headers), ["cat.png"], [PICTURE])


def test_every_address_that_leads_to_no_picture_is_named_without_its_query(site: Site, urls: list[str]) -> None:
    place = urls[0].rpartition("/")[0]
    wanted = [
        f"{place}/letter.png?a",
        f"{place}/gone.png?key=s3cret",
        urls[0],
        "file:///etc/passwd",
        "http://10.0.0.1/",
    ]
    told = problem(site.post("/queue/submit", params={"image_url": wanted}), 422, "invalid_files")
    assert [(file["index"], file["filename"], file["code"]) for file in told["rejected"]] == [
        (0, "letter.png", "not_a_picture"),
        (1, "gone.png", "fetch_failed"),
        (3, "passwd", "invalid_url"),
        (4, "image-5", "invalid_url"),
    ]
    assert f"{place}/gone.png cannot be fetched: its server answers with status 404." in told["detail"]
    assert "s3cret" not in told["detail"]
    assert_nothing_is_stored(site)


def test_skip_queues_those_that_came(site: Site, urls: list[str]) -> None:
    place = urls[0].rpartition("/")[0]
    wanted = [f"{place}/gone.png", urls[1], "http://127.0.0.1/"]
    response = site.post("/queue/submit", params={"image_url": wanted, "on_invalid": "skip"})
    told = answer(response, 202, Submitted)
    assert site.queue.job(told["job_id"]).filenames == ("1.png",)
    assert [file["code"] for file in response.json()["rejected"]] == ["fetch_failed", "invalid_url"]
    assert len(stored(site.queue.storage)) == 1


def test_a_host_that_is_not_public_is_refused_without_a_connection(site: Site, album: Stranger, allow: Allow) -> None:
    allow(album, allowed_hosts=())
    url = f"http://{HOST}:{album.port}/0.png"
    told = problem(site.post("/queue/submit", params={"image_url": url}), 422, "invalid_files")
    assert [file["code"] for file in told["rejected"]] == ["forbidden_url"]
    assert album.connections_so_far() == 0


def test_a_service_fetches_from_public_hosts_only_unless_it_is_told_otherwise(site: Site) -> None:
    fetcher = site.app.state.fetching.fetcher
    assert (set(fetcher.ports), tuple(fetcher.allowed_hosts)) == ({80, 443}, ())
    with stranger(answers(PICTURE)) as server:
        for url in (f"http://127.0.0.1:{server.port}/", "http://localhost/", "http://[::1]/"):
            problem(site.post("/queue/submit", params={"image_url": url}), 422, "invalid_files")
        assert server.connections_so_far() == 0


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"model": "u2nett"}, 422, "unknown_model"),
        ({"colour": "red"}, 422, "invalid_request"),
        ({"image_urls": "[1]"}, 422, "invalid_request"),
        ({"image_urls": "[[["}, 422, "invalid_request"),
        ({"image_urls": "http://a.example " * 5}, 413, "too_many_files"),
    ],
)
def test_nothing_is_fetched_for_a_request_that_is_refused_anyway(
    site: Site, album: Stranger, urls: list[str], query: dict[str, str], status: int, code: str
) -> None:
    problem(site.post("/queue/submit", params={"image_url": urls[0], **query}), status, code)
    assert album.connections_so_far() == 0
    assert_nothing_is_stored(site)


def test_fetched_bytes_count_for_the_size_of_a_submit(site: Site, allow: Allow) -> None:
    with stranger(answers(PICTURE.ljust(LIMITS.max_upload_bytes, b"\0"))) as server:
        allow(server)
        url = f"http://{HOST}:{server.port}/"
        problem(site.post("/queue/submit", params={"image_url": [url] * 5}), 413, "request_too_large")
    assert_nothing_is_stored(site)


def test_a_file_that_is_too_large_is_rejected(site: Site, allow: Allow) -> None:
    with stranger(answers(PICTURE.ljust(LIMITS.max_upload_bytes + 1, b"\0"))) as server:
        allow(server)
        told = problem(
            site.post("/queue/submit", params={"image_url": f"http://{HOST}:{server.port}/"}), 422, "invalid_files"
        )
    assert told["rejected"][0]["code"] == "file_too_large"
    assert_nothing_is_stored(site)


def test_an_idempotency_key_knows_fetched_pictures_by_their_bytes(site: Site, urls: list[str]) -> None:
    def submit(url: str) -> requests.Response:
        return site.post("/queue/submit", params={"image_url": url}, headers={"Idempotency-Key": "fetched"})

    first = answer(submit(urls[0]), 202, Submitted)["job_id"]
    again = submit(urls[0] + "?signature=new")
    assert answer(again, 202, Submitted)["job_id"] == first
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(submit(urls[1]), 422, "idempotency_key_reused")


def test_a_few_are_fetched_at_once_and_no_more(site: Site, allow: Allow) -> None:
    together = threading.Semaphore(0)
    at_once: list[int] = []
    lock = threading.Lock()
    here = 0

    def speech(asked: bytes, connection: object) -> None:
        nonlocal here
        with lock:
            here += 1
            at_once.append(here)
        if here == AT_ONCE:
            together.release(LIMITS.max_files_per_job)
        assert together.acquire(timeout=10)
        with lock:
            here -= 1
        answers(PICTURE)(asked, connection)  # type: ignore[arg-type]

    with stranger(speech) as server:
        allow(server)
        url = f"http://{HOST}:{server.port}/"
        answer(site.post("/queue/submit", params={"image_url": [url] * 5}), 202, Submitted)
    assert max(at_once) == AT_ONCE < len(at_once)


def test_the_service_answers_while_pictures_are_fetched(site: Site, allow: Allow) -> None:
    with stranger(then_silence(b"")) as server:
        allow(server, timeout_seconds=1.0)
        url = f"http://{HOST}:{server.port}/"
        waiting = threading.Thread(target=lambda: site.post("/queue/submit", params={"image_url": [url] * 4}))
        waiting.start()
        wait_until(lambda: server.connections == AT_ONCE)
        assert site.get("/queue/stats").status_code == 200
        waiting.join()
    assert_nothing_is_stored(site)


def test_a_client_that_goes_away_stops_what_is_left_and_leaves_nothing(site: Site, allow: Allow) -> None:
    with stranger(then_silence(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        allow(server, timeout_seconds=2.0)
        sources = b"".join(field(b"image_url", f"http://{HOST}:{server.port}/{n}".encode()) for n in range(5))
        with site.connection() as connection:
            connection.sendall(request(sources + END))
            wait_until(lambda: server.connections == AT_ONCE)
        wait_until(lambda: stored(site.queue.storage) == [])
        assert server.connections_so_far() == AT_ONCE
    assert_nothing_is_stored(site)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://a/w_2,h_3/b.png,https://c/d", ["https://a/w_2,h_3/b.png", "https://c/d"]),
        (" https://a ,\n HTTP://b, ", ["https://a", "HTTP://b,"]),
        ("", []),
        (' ["https://a, b"]', ["https://a, b"]),
    ],
)
def test_commas_inside_addresses_are_left_alone(text: str, found: list[str]) -> None:
    assert listed(text) == found


def test_a_picture_by_address_is_cut_out_by_a_real_service(tmp_path: Path) -> None:
    cat = SAMPLES[1].read_bytes()
    with (
        stranger(answers(cat)) as server,
        running(tmp_path, fetch_ports=f"{server.port}", fetch_allowed_hosts="127.0.0.0/8") as service,
    ):
        service.wait_until("/health")
        picture = {"url": f"http://127.0.0.1:{server.port}/photos/cat.jpg?key=1"}
        document = {"images": [picture], "model": "u2netp", "cache": "off"}
        answered = requests.post(f"{service.url}/queue/submit", json=document, timeout=30)
        job = service.wait_for(answered.json()["job_id"])
        assert (job["status"], job["filenames"]) == ("completed", ["cat.jpg"])
        switched = requests.post(f"{service.url}/queue/submit?image_url=http://127.0.0.1:22/", timeout=30)
        assert switched.json()["rejected"][0]["code"] == "invalid_url"


@pytest.mark.parametrize("kind", ["params", "files", "json"])
def test_a_background_by_address(site: Site, urls: list[str], kind: str) -> None:
    said = {"background_image_url": urls[2], "image_url": urls[0]}
    sent: dict[str, Any] = {kind: {name: (None, url) for name, url in said.items()} if kind == "files" else said}
    job_id = answer(site.post("/queue/submit", **sent), 202, Submitted)["job_id"]
    assert stored(site.queue.storage) == [f"uploads/{job_id}/0", f"uploads/{job_id}/background_image"]
    (lease,) = claim(site.queue)
    assert lease.file.params["background_image"] == hashlib.sha256(PICTURES[2]).hexdigest()


@pytest.mark.parametrize("page", ["letter", "none"])
def test_without_its_background_nothing_is_queued(site: Site, urls: list[str], page: str) -> None:
    wrong = urls[0].replace("/0", f"/{page}")
    query = {"image_url": urls[0], "background_image_url": wrong, "on_invalid": "skip"}
    told = problem(site.post("/queue/submit", params=query), 422, "invalid_attachment")
    assert "background_image" in told["detail"]
    assert stored(site.queue.storage) == []


def test_one_background_is_enough(site: Site, urls: list[str]) -> None:
    files = {"images": PICTURE, "background_image": PICTURE}
    twice = {"background_image_url": urls[0]}
    problem(site.post("/queue/submit", files=files, data=twice), 422, "invalid_attachment")
    repeated = {"background_image_url": urls[:2]}
    problem(site.post("/queue/submit", params=repeated), 422, "invalid_attachment")
    problem(site.post("/queue/submit", json={"background_image_url": ["http://a/1"]}), 422, "invalid_request")
    files.pop("background_image")
    both = {**twice, "background_color": "red"}
    problem(site.post("/queue/submit", files=files, data=both), 422, "several_backgrounds")
    assert stored(site.queue.storage) == []
