"""Listings of the jobs to which a filter applies: what it says is what it means, and nothing in it is a command."""

from urllib.parse import quote

import pytest

from database import job_search
from job import JobStatus, Priority, timestamp
from tests.queues import PICTURE, Clock, job_in, submit
from tests.web.shapes import JobPage, answer, problem
from tests.web.site import Site


def page(site: Site, **asked: str) -> JobPage:
    query = "&".join(f"{name}={quote(value)}" for name, value in asked.items())
    return answer(site.get(f"/queue/jobs?{query}"), 200, JobPage)


def ids(site: Site, **asked: str) -> list[str]:
    listing = page(site, **asked)
    found = [job["id"] for job in listing["jobs"]]
    assert listing["total"] == len(found)
    return found


NAMES = {
    "Müller & Söhne.JPG": ("müller", "MÜLLER", "söhne.jpg", "& s", "ü", "LLER &"),
    "100%.png": ("%", "0%.", "100%"),
    "a_b.png": ("_", "a_b", "A_B"),
    'the "best".png': ('"best"', '"', 'the "b'),
    "it's.png": ("'", "it's"),
    "wow!.png": ("!", "w!."),
    "u00fc.png": ("u00fc",),
    "猫.png": ("猫", "猫.p"),
    "😀.png": ("😀",),
    "[a, b].png": ("[", "]", ", b", "[A, B]"),
}


@pytest.mark.parametrize("name", NAMES)
def test_text_is_found_as_it_stands_in_upper_and_lower_case(site: Site, name: str) -> None:
    made = {known: submit_named(site, known) for known in NAMES}
    for text in NAMES[name]:
        assert ids(site, text=text) == [made[name]], text


def submit_named(site: Site, name: str) -> str:
    """With a second file, so that what stands between two names is looked at too."""
    return site.queue.create_job([(name, PICTURE), ("x.png", PICTURE)], model="u2netp")


@pytest.mark.parametrize(
    "text", ["nothing", "x.png, ", '", "', "%%", "__", "a%b", "\\u", "u00", "00e4", "\0", "' OR 1=1 --"]
)
def test_what_is_in_no_name_is_not_found(site: Site, text: str) -> None:
    for name in ("ä.png", "a.png"):
        submit_named(site, name)
    assert ids(site, text=text) == []


def test_a_text_of_any_file_of_a_batch_counts(site: Site) -> None:
    batch = submit(site.queue, "a.png", "holiday.png", "c.png")
    submit(site.queue)
    assert ids(site, text="Holiday") == [batch]


@pytest.mark.parametrize("length", [1, 3, 7, 8, 12, 36])
@pytest.mark.parametrize("upper", [False, True], ids=["as it is", "upper case"])
def test_the_beginning_of_an_id_finds_its_job(site: Site, length: int, upper: bool) -> None:
    made = [submit(site.queue, "zzz.zzz") for _ in range(20)]
    beginning = made[7][:length]
    expected = {job_id for job_id in made if job_id.startswith(beginning)}
    assert set(ids(site, text=beginning.upper() if upper else beginning)) == expected
    assert ids(site, text=made[7][1:9]) == []


def test_an_id_is_found_however_much_has_come_since(site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_search, "LOOKED_AT", 5)
    old = submit(site.queue)
    for _ in range(20):
        clock.advance(seconds=1)
        submit(site.queue)
    assert ids(site, text=old[:8]) == [old]
    assert ids(site, text=old[:8], status="completed") == []


def test_filters_are_combined(site: Site, clock: Clock) -> None:
    done = job_in(site.queue, JobStatus.COMPLETED, "cat.png")
    clock.advance(hours=1)
    cat, dog = submit(site.queue, "cat.png"), submit(site.queue, "dog.png")
    urgent = site.queue.create_job([("cat.png", PICTURE)], model="u2net", priority=Priority.HIGH)
    assert set(ids(site, text="cat")) == {done, cat, urgent}
    assert set(ids(site, text="cat", status="pending")) == {cat, urgent}
    assert ids(site, text="cat", status="pending", model="u2net") == [urgent]
    assert set(ids(site, model="u2netp")) == {done, cat, dog}
    assert ids(site, priority="high") == [urgent]
    assert set(ids(site, priority="normal", status="pending")) == {cat, dog}
    now = timestamp(clock.now)
    assert set(ids(site, since=now)) == {cat, dog, urgent}
    assert ids(site, until="2026-11-01T12:30:00+00:00") == [done]
    assert ids(site, until="2026-11-01T13:30:00.5+01:00") == [done]
    assert ids(site, since=now, until=now, text="dog") == [dog]
    assert ids(site, since=now, priority="low") == []


def test_a_model_is_known_by_its_alias_too_and_one_that_is_gone_by_its_name(site: Site) -> None:
    job_id = site.queue.create_job([("cat.png", PICTURE)], model="silueta")
    assert ids(site, model="siluette") == [job_id]
    assert ids(site, model="gone") == []


@pytest.mark.parametrize(
    "query",
    [
        "text=",
        f"text={'a' * 256}",
        "since=yesterday",
        "since=2026-11-22",
        "since=2026-11-22T05:55:55",
        "since=0",
        "since=2026-13-22T05:55:55Z",
        "until=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:59-14:00",
        "priority=urgent",
        "status=done",
        "model=",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    told = problem(site.get(f"/queue/jobs?{query}"), 422, "invalid_request")
    assert query.partition("=")[0] in told["detail"]


def test_the_cursor_leads_through_all_that_match_once(site: Site, clock: Clock) -> None:
    made = []
    for n in range(30):
        job_id = submit(site.queue, f"{'cat' if n % 3 else 'dog'}.png")
        clock.advance(seconds=n % 2)
        if n % 3:
            made.append(job_id)
    seen: list[str] = []
    listing = page(site, text="cat", limit="4")
    while True:
        assert listing["total"] == len(made)
        seen += [job["id"] for job in listing["jobs"]]
        if listing["next"] is None:
            break
        listing = page(site, text="cat", limit="4", cursor=listing["next"])
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("asked", [{"text": "old"}, {"model": "silueta"}, {"priority": "high"}], ids=str)
def test_a_long_history_is_looked_at_page_by_page(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.setattr(job_search, "LOOKED_AT", 10)
    old = site.queue.create_job([("old.png", PICTURE)], model="silueta", priority=Priority.HIGH)
    for _ in range(25):
        clock.advance(seconds=1)
        submit(site.queue)
    listing = page(site, **asked)
    pages = [listing]
    while listing["next"] is not None:
        listing = page(site, **asked, cursor=listing["next"])
        pages.append(listing)
    assert [[job["id"] for job in listing["jobs"]] for listing in pages] == [[], [], [old]]
    told = site.get("/queue/jobs", params=asked).json()
    assert (told["total"], told["total_is_exact"]) == (0, False)


def test_totals_are_counted_only_so_far(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        submit(site.queue)
    monkeypatch.setattr(job_search, "MOST_COUNTED", 3)
    for asked in ("text=cat", "since=2020-01-01T00:00:00Z", "model=u2netp"):
        told = site.get(f"/queue/jobs?limit=2&{asked}").json()
        assert (told["total"], told["total_is_exact"], len(told["jobs"])) == (3, False, 2), asked
    told = site.get("/queue/jobs").json()
    assert (told["total"], told["total_is_exact"]) == (4, True)
