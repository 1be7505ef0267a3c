"""The short run of bench/side_by_side.py, and what its figures are made of."""

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from bench.contenders import SERVER_ENVIRONMENT, rembg_loop, rembg_server
from bench.side_by_side import LIMIT, SERVICE, comparison, main, run_once
from bench.stages import Stopwatch
from bench.throughput import Run, camera_photos, tree_seconds

# Burns its own time, has a child that burns some and ends, and a grandchild that burns some and lives on.
BURNS = """
import subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.3: pass\\n"
subprocess.run([sys.executable, "-c", burn])
living = subprocess.Popen([sys.executable, "-c", burn + "print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
living.stdout.readline()
exec(burn)
print(flush=True)
sys.stdin.read()
living.kill()
living.wait()
"""


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_photos_are_a_cameras_and_the_same_every_time(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    first, second = ([path.read_bytes() for path in camera_photos(folder, 0.5, 5)] for folder in folders)
    assert first == second
    assert len(set(first)) == 5
    for data in first:
        with Image.open(io.BytesIO(data)) as photo:
            assert photo.width * photo.height == pytest.approx(0.5e6, rel=0.01)
            # An enlarged photo without noise has half a bit and less.
            assert 2 < 8 * len(data) / (photo.width * photo.height) < 5


def test_processor_time_of_a_tree_has_the_living_and_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", BURNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.85 < tree_seconds([process.pid]) < 3
        process.communicate()


def test_an_inner_stage_counts_once() -> None:
    watch = Stopwatch()
    inner = watch.timed("inner", burn)

    def outer_work() -> None:
        burn(0.1)
        inner(0.2)

    watch.timed("outer", outer_work)()
    assert watch.taken() == {"inner": pytest.approx(0.2, abs=0.05), "outer": pytest.approx(0.1, abs=0.05)}
    assert watch.taken() == {}


def test_ratios_are_taken_within_a_round() -> None:
    def runs(cpu_seconds: float, *rates: float) -> list[Run]:
        return [Run(rate, {"one": cpu_seconds, "two": 0.05}, 0.001, 3e6) for rate in rates]

    table = comparison({LIMIT: runs(0.2, 10, 20, 40), SERVICE: runs(0.45, 9, 10, 36)})
    assert table[-1] == "| this service | 10.00 | 0.90 | 0.500 | 0.50 | 0.001 | 3.00 |"


def test_the_command_tells_of_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    # So many that the service's own few milliseconds for each are more than one tick of the kernel's clock.
    main(f"--models u2netp --megapixels 0.1 --photos 8 --rounds 1 --contenders {LIMIT} {SERVICE}".split())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in rows if row}
    for contender in ("limit", "this service"):
        assert float(table[contender][0]) > 0
        assert float(table[contender][2]) > 0.01
    for stage in ("decode", "resize", "model", "mask", "merge", "encode", "queue", "HTTP"):
        assert float(table[stage][0]) > 0, stage
    assert float(table["model"][0]) > float(table["decode"][0])


def test_the_loop_runs_rembg(tmp_path: Path) -> None:
    photos = camera_photos(tmp_path, 0.1, 2)
    run = run_once(lambda model: rembg_loop(model, threads=1), "u2netp", photos, photos)
    assert run.all_cpu_seconds > 0.01
    assert run.output_bytes > 10_000


@pytest.mark.skipif(not SERVER_ENVIRONMENT.exists(), reason="`make bench` has not installed rembg's server here")
def test_rembgs_own_server_is_asked(tmp_path: Path) -> None:
    photos = camera_photos(tmp_path, 0.1, 2)
    run = run_once(lambda model: rembg_server(model, threads=1), "u2netp", photos, photos)
    assert run.all_cpu_seconds > 0.01
    assert run.output_bytes > 10_000
