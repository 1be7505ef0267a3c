"""The short run of bench/queue_scale.py: every step is measured, and a goal that is missed is told."""

from pathlib import Path

import pytest

from bench.cleanup_lock import clean_up
from bench.filled_queue import fill
from bench.no_op import through_queue, through_worker
from bench.queue_scale import MOST_GROWTH, Subject, measure_steps, report_growth, subject
from tests.database.jobs import contradictions, counted, recounted

ROUNDS = 3


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    one = subject(tmp_path_factory.mktemp("scale") / "table", 100)
    for _ in range(ROUNDS):
        measure_steps(one)
    return one


def test_every_step_is_measured_in_every_round_and_the_queue_stays_whole(measured: Subject) -> None:
    assert {len(took) for took in measured.took.values()} == {ROUNDS}
    assert {"submit", "claim of 2", "heartbeat", "complete", "list all", "list failed", "stats"} <= measured.took.keys()
    stats = measured.queue.get_job_stats()
    assert (stats["pending"], stats["processing"], stats["total"]) == (10, 0, 100 + 2 * ROUNDS)
    assert contradictions(measured.queue.database) == []
    assert counted(measured.queue.database) == recounted(measured.queue.database)


def test_a_step_that_grows_too_much_is_told(measured: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    slower = Subject(measured.queue, measured.chance, [], [])
    slower.took = {name: list(took) for name, took in measured.took.items()}
    slower.took["stats"] = [took * MOST_GROWTH * 2 for took in slower.took["stats"]]
    missed = report_growth([100, 1000], [measured, slower])
    assert [what.split()[0] for what in missed] == ["stats"]
    assert "3.00" in capsys.readouterr().out


def test_a_cleanup_is_watched_from_another_process(tmp_path: Path) -> None:
    queue = fill(tmp_path, 300, pending=20)
    lock = clean_up(queue, 100)
    assert lock.jobs == 100
    assert queue.get_job_stats()["total"] == 200
    assert len(lock.held_ms) > lock.jobs // 50
    assert lock.waited_ms
    queue.database.close()


def test_files_without_work_go_through_the_queue_and_through_a_worker(tmp_path: Path) -> None:
    assert through_queue(tmp_path / "queue", 60, 8, "NORMAL") > 0
    assert through_worker(tmp_path / "worker", 60, "NORMAL", slots=4) > 0
