"""submit: pictures in, results out, and what it says when some of them fail."""

import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.cli.command_line import PATIENCE_SECONDS, PROGRAM, CommandLine
from tests.cli.stand_in import Request, serving
from tests.service import SAMPLES, Service

CAT = next(path for path in SAMPLES if path.stem == "cat")
NOT_A_PICTURE = "The file is not a picture. Send JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF."


def copies(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CAT, folder / name)
    return folder


def damaged(path: Path) -> Path:
    """A picture whose header is good and whose pixels are not there."""
    path.write_bytes(CAT.read_bytes()[:2000])
    return path


def sparse(path: Path, size: int) -> Path:
    """A file of so many bytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
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


def test_pictures_of_one_name_are_told_apart(cli: CommandLine, tmp_path: Path) -> None:
    copies(tmp_path, "a/cat.jpg")
    (tmp_path / "b").mkdir()
    shutil.copy(SAMPLES[0], tmp_path / "b" / "cat.jpg")
    (tmp_path / "c").mkdir()
    damaged(tmp_path / "c" / "cat.jpg")
    paths = [f"{folder}/cat.jpg" for folder in "abc"]
    done = cli("submit", *paths, "--out", "out", cwd=tmp_path)
    assert "Saved out/cat.png from a/cat.jpg\n" in done.stdout
    assert "Saved out/cat (2).png from b/cat.jpg\n" in done.stdout
    assert done.stderr.startswith("c/cat.jpg: ")
    document = json.loads(cli("submit", *paths, "--out", "more", "--json", cwd=tmp_path).stdout)
    assert document["sources"] == {"more/cat.png": "a/cat.jpg", "more/cat (2).png": "b/cat.jpg"}
    assert [entry["filename"] for entry in document["failed"]] == ["c/cat.jpg"]
    with Image.open(tmp_path / "more" / "cat (2).png") as cutout, Image.open(SAMPLES[0]) as photo:
        assert cutout.size == photo.size


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


@pytest.mark.parametrize("more", [[], ["--skip-invalid"]], ids=str)
def test_a_refused_file_alone_is_told_once(cli: CommandLine, tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    done = cli("submit", tmp_path / "bad.png", *more)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'bad.png'}: {NOT_A_PICTURE}\n"


@pytest.mark.parametrize(("more", "code"), [([], 1), (["--skip-invalid"], 0)], ids=str)
def test_a_file_above_the_limits_is_refused_by_name(
    cli: CommandLine, tmp_path: Path, more: list[str], code: int
) -> None:
    """Sent, it would end the whole run: the service names no file when a request is too large."""
    large = sparse(tmp_path / "large.jpg", 10 * 2**20 + 1)
    (tmp_path / "bad.png").write_text("no picture")
    done = cli("submit", large, tmp_path / "bad.png", CAT, *more, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, len(document["jobs"])) == (code, 1 - code)
    assert f"{large}: The file is larger than the 10 MiB that one may have." in done.stderr
    refused = {entry["filename"]: entry["code"] for entry in document["rejected"]}
    assert refused == {str(large): "file_too_large", str(tmp_path / "bad.png"): "not_a_picture"}


def test_a_failure_is_told_once(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("submit", damaged(tmp_path / "bad.jpg"), "--wait")
    name, _, reason = done.stderr.rstrip().partition(": ")
    assert (done.returncode, name) == (1, str(tmp_path / "bad.jpg"))
    assert "failed      0 of 1 done, 1 failed\n" in done.stdout
    assert reason not in done.stdout


def test_a_result_that_cannot_be_saved_does_not_stop_the_others(cli: CommandLine, tmp_path: Path) -> None:
    photos = copies(tmp_path / "photos", "a/1.jpg", "b/2.jpg", "c/3.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").touch()
    done = cli("submit", photos, "--recursive", "--out", tmp_path / "out", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert files_below(tmp_path / "out") == ["a/1.png", "b", "c/3.png"]
    assert len(document["saved"]) == 2
    assert [entry["filename"] for entry in document["failed"]] == [str(tmp_path / "out" / "b" / "2.png")]
    assert done.stderr == f"{tmp_path / 'out' / 'b' / '2.png'}: Cannot be saved: File exists.\n"


def test_names_too_long_for_the_disk_are_shortened(cli: CommandLine, tmp_path: Path) -> None:
    photos = copies(tmp_path / "photos", "é" * 125 + ".jpg", "z.jpg")
    for _ in range(2):
        done = cli("submit", photos, "--out", tmp_path / "out")
        assert (done.returncode, done.stderr) == (0, "")
    saved = ["z (2).png", "z.png", "é" * 123 + " (2).png", "é" * 125 + ".png"]
    assert files_below(tmp_path / "out") == sorted(saved)


def test_it_goes_on_past_a_failed_file(cli: CommandLine, tmp_path: Path) -> None:
    photos = copies(tmp_path / "photos", "sub/1.jpg", "sub/3.jpg")
    damaged(photos / "sub" / "2.jpg")
    done = cli("submit", photos, "--recursive", "--wait", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert files_below(tmp_path / "out") == ["sub/1.png", "sub/3.png"]
    assert done.stderr.startswith(f"{photos / 'sub' / '2.jpg'}: ")
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


@pytest.mark.usefixtures("paused")
def test_ctrl_c_before_the_answer_tells_how_to_find_out(cli: CommandLine, service: Service) -> None:
    """The service has queued the job, and the program is stopped before it hears of that."""
    stored: list[requests.Response] = []
    interrupted = threading.Event()

    def keep_the_answer(request: Request) -> None:
        if request.command == "GET":
            request.answer(200, requests.get(service.url + request.path, timeout=10).json())
            return
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        stored.append(requests.post(service.url + request.path, data=request.body(), headers=headers, timeout=10))
        process.send_signal(signal.SIGINT)
        interrupted.wait(PATIENCE_SECONDS)

    with serving(keep_the_answer) as slow:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": slow.environment()}
        process = subprocess.Popen([*PROGRAM, "submit", str(CAT)], **pipes)  # type: ignore[call-overload]
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        interrupted.set()
    assert (process.returncode, stdout) == (130, "")
    assert stderr == f"The job that begins with {CAT} may have been queued: see `list`.\n"
    assert cli("list").stdout.startswith(stored[0].json()["job_id"])


def test_what_cannot_be_done_is_one_line(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, sentence in (
        ([CAT, "--model", "no-such-model"], "no-such-model"),
        (["none.jpg"], "No such file: none.jpg."),
        ([tmp_path], f"No picture in {tmp_path}; see --recursive."),
        ([CAT, "--out", tmp_path / "file"], f"--out {tmp_path / 'file'} is a file: name the folder"),
        ([CAT, "--out", tmp_path / "file" / "sub"], f"{tmp_path / 'file' / 'sub'}: Not a directory."),
        ([CAT, "--out", ""], "--out is empty: name the folder"),
    ):
        done = cli("submit", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr
        assert len(done.stderr.splitlines()) == 1
