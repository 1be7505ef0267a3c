"""submit: pictures in, results out, and what it says when some of them fail."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.command_line import PROGRAM, CommandLine
from tests.service import SAMPLES, Service

CAT = next(path for path in SAMPLES if path.stem == "cat")


def copies(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CAT, folder / name)
    return folder


def damaged(path: Path) -> Path:
    """A picture whose header is good and whose pixels are not there."""
    path.write_bytes(CAT.read_bytes()[:2000])
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_samples_come_back_cut_out(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("submit", *SAMPLES, "--model", "u2netp", "--wait", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert files_below(tmp_path / "out") == [f"{sample.stem}.png" for sample in SAMPLES]
    for sample in SAMPLES:
        with Image.open(sample) as photo, Image.open(tmp_path / "out" / f"{sample.stem}.png") as cutout:
            assert (cutout.mode, cutout.size) == ("RGBA", photo.size)
    assert "completed   3 of 3 done" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_large_folder_becomes_several_jobs(cli: CommandLine, tmp_path: Path) -> None:
    photos = copies(tmp_path / "photos", "a.jpg", "a.jpeg", "b.jpg", "sub/a.jpg", "sub/c.jpg", "sub/deep/d.jpg")
    document = cli.json("submit", photos, "--recursive", "--out", tmp_path / "out")
    assert [job["progress"]["total"] for job in document["jobs"]] == [5, 1]
    expected = ["a (2).png", "a.png", "b.png", "sub/a.png", "sub/c.png", "sub/deep/d.png"]
    assert files_below(tmp_path / "out") == expected
    assert sorted(document["saved"]) == [str(tmp_path / "out" / name) for name in expected]
    assert (document["rejected"], document["failed"]) == ([], [])


def test_nothing_is_overwritten(cli: CommandLine, tmp_path: Path) -> None:
    with Image.open(CAT) as photo:
        photo.save(tmp_path / "cat.png")
    before = (tmp_path / "cat.png").read_bytes()
    assert cli("submit", "cat.png", "--out", ".", cwd=tmp_path).returncode == 0
    assert (tmp_path / "cat.png").read_bytes() == before
    assert files_below(tmp_path) == ["cat (2).png", "cat.png"]


def test_one_bad_file_holds_back_its_job(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    total = cli.json("list")["total"]
    done = cli("submit", CAT, tmp_path / "bad.png")
    assert done.returncode == 1
    assert f"{tmp_path / 'bad.png'}: The file is not a picture." in done.stderr
    assert "--skip-invalid" in done.stderr
    assert cli.json("list")["total"] == total


def test_the_good_ones_can_be_taken(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    done = cli("submit", tmp_path / "bad.png", CAT, "--skip-invalid", "--out", tmp_path / "out", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert files_below(tmp_path / "out") == ["cat.png"]
    assert [(file["filename"], file["index"]) for file in document["rejected"]] == [(str(tmp_path / "bad.png"), 0)]
    assert str(tmp_path / "bad.png") in done.stderr
    assert cli("submit", tmp_path / "bad.png", "--skip-invalid").returncode == 1


def test_it_goes_on_past_a_failed_file(cli: CommandLine, tmp_path: Path) -> None:
    photos = copies(tmp_path / "photos", "sub/1.jpg", "sub/3.jpg")
    damaged(photos / "sub" / "2.jpg")
    done = cli("submit", photos, "--recursive", "--wait", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert files_below(tmp_path / "out") == ["sub/1.png", "sub/3.png"]
    assert done.stderr.startswith("sub/2.jpg: ")
    assert len(done.stderr.splitlines()) == 1


def test_names_cannot_play_with_the_terminal(cli: CommandLine, tmp_path: Path) -> None:
    name = "\x1b[31mred\u202egpj.jpg"
    copies(tmp_path, name)
    done = cli("submit", tmp_path / name, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert r"\x1b[31mred\u202egpj.png" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


@pytest.mark.usefixtures("paused")
def test_ctrl_c_loses_nothing(cli: CommandLine, service: Service) -> None:
    command = [*PROGRAM, "submit", str(CAT), "--wait"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": cli.environment()}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        while "pending" not in (line := process.stdout.readline()):
            assert line, "ended early"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    job_id = line.split()[0]
    assert process.returncode == 130
    assert stderr == f"Jobs that go on without this program: {job_id}\n"
    assert service.job(job_id)["status"] == "pending"


def test_what_cannot_be_done_is_one_line(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, sentence in (
        ([CAT, "--model", "no-such-model"], "no-such-model"),
        (["none.jpg"], "No such file: none.jpg."),
        ([tmp_path], f"No picture in {tmp_path}; see --recursive."),
        ([CAT, "--out", tmp_path / "file"], f"{tmp_path / 'file'}: File exists."),
    ):
        done = cli("submit", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr
        assert len(done.stderr.splitlines()) == 1
