"""The short run of bench/latency.py: requests of every kind at a steady rate, against a real service."""

import io
import random
from pathlib import Path

import pytest
from PIL import Image

from bench.latency import GOALS, UPLOAD_BYTES, Answers, fill, percentile, press, report, unique, upload_photo
from tests.service import running


def test_every_kind_is_asked_and_answered(tmp_path: Path) -> None:
    jobs = fill(tmp_path, 20)
    with running(tmp_path) as service:
        service.wait_until("/ready")
        answers = press(service.url, jobs, rate=40, seconds=2, chance=random.Random(1))
    assert answers.refused == {}
    assert answers.took.keys() == {*GOALS, "health"}
    assert sum(len(answers.took[kind]) for kind in GOALS) == 80
    assert len(answers.took["submit"]) == len(answers.jobs) - len(jobs)


def test_uploads_are_of_the_size_that_is_told_and_differ_in_every_byte_string() -> None:
    photo = upload_photo()
    assert UPLOAD_BYTES <= len(photo) < 1.2 * UPLOAD_BYTES
    first, second = unique(photo), unique(photo)
    assert first != second
    with Image.open(io.BytesIO(first)) as one, Image.open(io.BytesIO(photo)) as plain:
        assert one.tobytes() == plain.tobytes()


def test_a_missed_goal_and_a_refusal_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    answers = Answers(late=[0.0])
    answers.took = {"status": [1.0] * 99 + [30.0], "stats": [1.0] * 100, "health": [60.0]}
    answers.refused["submit 507"] += 1
    missed = report(answers)
    assert len(missed) == 3
    assert [word for word in ("submit 507", "status", "/health") if any(word in what for what in missed)]
    assert "stats" in capsys.readouterr().out


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(range(100), 0.99) == 99
