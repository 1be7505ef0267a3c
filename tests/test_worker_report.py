"""When a worker's facts are due to be told again."""

from datetime import UTC, datetime, timedelta

import pytest

from job import WorkerState, timestamp
from worker_report import WorkerReport

NOON = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
INTERVAL_SECONDS = 15.0


def state(report: WorkerReport, seconds: float) -> WorkerState:
    """So long after noon, by the clock of the machine."""
    return report.state(timestamp(NOON + timedelta(seconds=seconds)), "running", 0, ["u2netp"], {})


@pytest.mark.parametrize(
    ("seconds", "due"),
    [(0.0, False), (14.9, False), (15.1, True), (3600.0, True), (-0.1, True), (-3600.0, True)],
)
def test_it_is_due_when_the_clock_says_so_or_was_set(seconds: float, due: bool) -> None:
    report = WorkerReport(1)
    assert report.due(state(report, 0.0), INTERVAL_SECONDS)
    report.told(state(report, 0.0))
    assert report.due(state(report, seconds), INTERVAL_SECONDS) is due


def test_it_is_due_when_something_changed() -> None:
    report = WorkerReport(1)
    report.told(state(report, 0.0))
    report.ready = True
    assert report.due(state(report, 0.1), INTERVAL_SECONDS)
