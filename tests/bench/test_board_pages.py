"""The short run of bench/board_pages.py: every question is asked, and finds what it says."""

from pathlib import Path

from bench.board_pages import measure, questions
from bench.filled_queue import fill
from web import queue_routes


def test_every_question_is_asked_in_every_round(tmp_path: Path) -> None:
    queue = fill(tmp_path, 200, pending=20)
    took = measure(queue, 2)
    assert {len(times) for times in took.values()} == {2}
    found = {name: queue_routes.jobs(queue, query).total for name, query in questions(queue).items()}
    assert {name for name, total in found.items() if total == 0} == {name for name in found if "none has" in name}
    assert found["beginning of an id"] == 1
    queue.database.close()
