"""The short run of bench/edges.py, and what its figures are made of."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.composites import composites
from bench.confidence import main as confidence_main
from bench.edges import BACKGROUNDS, CELL, HEADING, OPTIONS, fringe_error, main
from bench.throughput import SAMPLES
from models.catalog import MODELS
from models.weights import open_store


def test_the_command_writes_a_sheet_and_tells_errors_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_store(os.environ).pull(MODELS["u2netp"], lambda done, total: None)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.open(SAMPLES / "cat.jpg").resize((240, 160)).save(folder / "cat.png")
    sizes = ["--error-megapixels", "0.03", "--timed-megapixels", "0.05", "--repeats", "1"]
    assert main(["--folder", str(folder), "--out", str(tmp_path), *sizes]) == 0
    sheet = Image.open(tmp_path / "edges.png")
    assert sheet.size == (CELL * (1 + len(OPTIONS)), HEADING + len(BACKGROUNDS) * (CELL + HEADING))
    # Each background is to be seen in its row, in the column of the whole picture.
    for row, colour in enumerate(BACKGROUNDS.values()):
        top = HEADING + row * (CELL + HEADING) + HEADING
        shown = np.asarray(sheet.crop((0, top, CELL, top + CELL))).reshape(-1, 3)
        assert (np.abs(shown - np.array(colour)).max(axis=1) < 3).mean() > 0.1
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    errors = {name: float(error) for name, error, *_ in rows[1:]}
    assert errors["ours, decontaminate"] < errors["rembg, decontaminate"] < errors["ours, default"]
    assert errors["ours, default"] < errors["rembg, default"]
    assert {"ours, alpha_matting", "rembg, alpha_matting"} <= errors.keys()
    assert all(float(milliseconds) >= 0 for *_, milliseconds in rows[1:])


def test_a_perfect_cutout_has_no_error() -> None:
    pictures = composites(0.03)
    truths = iter([np.dstack([np.rint(each.foreground * 255), each.mask]).astype(np.uint8) for each in pictures])
    assert fringe_error(lambda rgba, mask: next(truths), [(each, each.mask) for each in pictures]) < 0.5


def test_confidence_is_told_for_pictures_with_and_without_a_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert confidence_main(["--model", "u2netp"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "with a subject: 10 of 10 at or above 0.5"
    assert int(told[2].removeprefix("without a subject: ").split()[0]) <= 4
