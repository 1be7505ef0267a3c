"""What is kept of a stream for those who are a little behind."""

import pytest

from web import recent_events
from web.recent_events import Event, RecentEvents


def event(number: int, job_id: str | None = None, size: int = 0) -> Event:
    return Event(job_id or f"job-{number}", number, f"<{number}>".encode() + b"." * size)


def all_after(recent: RecentEvents, number: int) -> bytes:
    told = b""
    while True:
        piece, number = recent.after(number)
        if not piece:
            return told
        told += piece


def test_everybody_gets_what_comes_after_what_was_seen() -> None:
    recent = RecentEvents(5)
    recent.add([event(7), event(9)])
    assert [recent.after(seen) for seen in (5, 7, 8, 9, 100)] == [
        (b"<7><9>", 9),
        (b"<9>", 9),
        (b"<9>", 9),
        (b"", 9),
        (b"", 100),
    ]
    recent.add([event(12)])
    assert recent.after(9) == (b"<12>", 12)
    assert recent.newest == 12


def test_a_job_that_changes_again_is_told_once() -> None:
    recent = RecentEvents(0)
    recent.add([event(1, "a"), event(2, "b")])
    recent.add([event(3, "a")])
    assert recent.after(0) == (b"<2><3>", 3)
    assert recent.after(1) == (b"<2><3>", 3)


def test_pieces_are_small_but_never_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_events, "PIECE_BYTES", 7)
    recent = RecentEvents(0)
    recent.add([event(1), event(2), event(3), event(4, size=100)])
    assert recent.after(0) == (b"<1><2>", 2)
    assert recent.after(2) == (b"<3>", 3)
    assert recent.after(3)[1] == 4
    assert all_after(recent, 0).startswith(b"<1><2><3><4>")


def test_the_oldest_go_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_events, "MOST_BYTES", 10)
    recent = RecentEvents(0)
    recent.add([event(number) for number in range(1, 6)])
    assert (recent.floor, all_after(recent, 2)) == (2, b"<3><4><5>")
    recent.add([event(6, "job-3")])
    assert (recent.floor, all_after(recent, 2)) == (2, b"<4><5><6>"), "the same job takes no more room"
    assert not recent.reach_back(1, [event(2)])
    assert (recent.floor, all_after(recent, 2)) == (2, b"<4><5><6>")


def test_what_was_read_for_one_who_comes_back_is_kept_for_others() -> None:
    recent = RecentEvents(10)
    recent.add([event(11)])
    assert recent.reach_back(4, [event(5), event(9), event(11), event(12)])
    assert (recent.floor, all_after(recent, 4)) == (4, b"<5><9><11>"), "later ones come by themselves"
    recent.add([event(12)])
    assert all_after(recent, 9) == b"<11><12>"


def test_a_job_that_changed_while_its_earlier_change_was_read_is_told_once_and_in_its_order() -> None:
    recent = RecentEvents(8)
    recent.add([event(9, "c"), event(10, "a")])
    assert recent.reach_back(4, [event(5, "a"), event(6, "b")])
    assert all_after(recent, 4) == b"<6><9><10>"
    assert (all_after(recent, 8), all_after(recent, 9)) == (b"<9><10>", b"<10>")
