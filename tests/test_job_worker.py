"""The worker: pictures without a job, models that are missing, cancelling what runs, giving up."""

import asyncio
import io
import os
import threading
from pathlib import Path

import pytest
import requests
from PIL import Image

from app import open_queue
from database.file_store import FileStore
from errors import PictureError, UnknownModel, WorkerUnavailable
from job_worker import init_worker
from settings import Settings
from storage.local import LocalStorage
from tests.service import SAMPLES, children_of, running

PICTURE = (SAMPLES[0].name, SAMPLES[0].read_bytes())
# Nothing outside this machine can be reached with these, by pip or by HTTP.
NO_NETWORK = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_RETRIES": "0",
}


def test_a_picture_in_and_out_as_bytes(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(data_dir=tmp_path, default_model="u2netp")
        queue = open_queue(settings)
        worker = init_worker(queue, max_concurrent=1, settings=settings)
        with pytest.raises(WorkerUnavailable):
            await worker.process_image_bytes(PICTURE[1], model="u2netp")
        await worker.start()
        try:
            cutout = await worker.process_image_bytes(PICTURE[1], model="u2netp")
            with Image.open(io.BytesIO(cutout)) as image, Image.open(io.BytesIO(PICTURE[1])) as source:
                assert (image.format, image.mode, image.size) == ("PNG", "RGBA", source.size)
            with pytest.raises(PictureError):
                await worker.process_image_bytes(b"no picture", model="u2netp")
            with pytest.raises(UnknownModel):
                await worker.process_image_bytes(PICTURE[1], model="u3net")
        finally:
            await worker.stop()
        assert worker.status == "stopped"
        assert not [path for path in (tmp_path / "data" / "direct").rglob("*") if path.is_file()]
        queue.database.close()

    asyncio.run(story())


def test_trouble_while_files_are_claimed_keeps_none_of_them_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("unforeseen")

    async def story() -> None:
        settings = Settings(data_dir=tmp_path, default_model="u2netp", lease_seconds=3600)
        queue = open_queue(settings)
        monkeypatch.setattr(FileStore, "with_result", fail)
        worker = init_worker(queue, max_concurrent=1, settings=settings)
        job_id = queue.create_job([PICTURE], model="u2netp")
        await worker.start()
        async with asyncio.timeout(30):
            while not queue.job(job_id).status.ended:  # noqa: ASYNC110 - an outside view
                await asyncio.sleep(0.05)
        await worker.stop()
        (result,) = queue.job(job_id).results or ()
        assert result["attempts"] == 1
        queue.database.close()

    asyncio.run(story())


def test_other_files_do_not_wait_while_an_earlier_result_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def copy(storage: LocalStorage, source: str, target: str) -> None:
        """Without links, and slow."""
        assert go_on.wait(60)
        storage.put(target, storage.get(source))

    async def story() -> None:
        settings = Settings(data_dir=tmp_path, default_model="u2netp")
        queue = open_queue(settings)
        worker = init_worker(queue, max_concurrent=2, settings=settings)

        async def end(*job_ids: str) -> None:
            async with asyncio.timeout(30):
                while not all(queue.job(job_id).status.ended for job_id in job_ids):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

        await worker.start()
        await end(queue.create_job([PICTURE], model="u2netp"))
        again = queue.create_job([PICTURE], model="u2netp")
        try:
            await end(queue.create_job([(SAMPLES[1].name, SAMPLES[1].read_bytes())], model="u2netp"))
            assert not queue.job(again).status.ended
        finally:
            go_on.set()
        await end(again)
        (result,) = queue.job(again).results or ()
        assert result["cached"]
        await worker.stop()
        queue.database.close()

    monkeypatch.setattr(LocalStorage, "copy", copy)
    asyncio.run(story())


def test_only_one_worker_of_a_data_directory_runs(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(data_dir=tmp_path, default_model="u2netp")
        queue = open_queue(settings)
        first, second = (init_worker(queue, max_concurrent=1, settings=settings) for _ in range(2))
        await first.start()
        await second.start()
        assert (first.status, second.status) == ("running", "waiting")
        await first.stop()
        async with asyncio.timeout(5):
            while second.status != "running":  # noqa: ASYNC110 - an outside view: there is no event to wait for
                await asyncio.sleep(0.01)
        await second.stop()
        queue.database.close()

    asyncio.run(story())


def test_a_missing_model_is_downloaded_while_its_job_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "weights"))
    with running(tmp_path / "data") as service:
        service.wait_until("/health")
        job_id = service.submit([PICTURE])
        view = service.job(job_id)
        assert view["phase"] in ("downloading_model", "queued", "running")
        if view["phase"] == "downloading_model":
            assert "u2netp" in str(view["phase_detail"])
        assert service.wait_for(job_id)["status"] == "completed"
        assert "downloading the weights of u2netp" in service.log
    assert (tmp_path / "weights" / "models" / "u2netp" / "u2netp.onnx").exists()


def test_a_failed_download_fails_the_job_and_says_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    with running(tmp_path) as service:
        service.wait_until("/ready")
        job_id = service.submit([PICTURE], model="silueta")
        view = service.wait_for(job_id)
        assert view["status"] == "failed"
        assert "silueta could not be downloaded" in str(view["error"])
        assert "Installed models: " in str(view["error"])
        assert "u2netp" in str(view["error"])
        assert str(tmp_path) not in str(view)
        # Other models go on.
        assert service.wait_for(service.submit([PICTURE]))["status"] == "completed"
        # The operator reads which file to put where.
        assert "silueta.onnx" in service.log


def test_without_its_default_model_the_service_is_not_ready_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "also empty"))
    with running(tmp_path / "data") as service:
        service.wait_until("/health")
        service.wait_for(service.submit([PICTURE]))
        # The worker tells of itself a moment later.
        while "u2netp" not in (answer := requests.get(service.url + "/ready", timeout=5)).json()["reason"]:
            assert "being loaded" in answer.json()["reason"]
    assert answer.status_code == 503


def test_a_running_job_is_stopped_by_force_and_what_had_finished_stays(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="1") as service:
        service.wait_until("/ready")
        job_id = service.submit([PICTURE] * 40)
        service.wait_for_active(1)
        while not service.job(job_id)["progress"]["processed"]:  # type: ignore[index]
            pass
        plain = requests.post(f"{service.url}/queue/job/{job_id}/cancel", timeout=10)
        assert plain.status_code == 409
        assert "force=true" in plain.json()["detail"]
        forced = requests.post(f"{service.url}/queue/job/{job_id}/cancel?force=true", timeout=10)
        assert (forced.status_code, forced.json()["status"]) == (200, "cancelled")
        view = service.job(job_id)
        assert requests.get(f"{service.url}/queue/job/{job_id}/result/0", timeout=10).status_code == 200
        last = requests.get(f"{service.url}/queue/job/{job_id}/result/39", timeout=10)
        assert last.status_code == 409
        # The service goes on with other work.
        assert service.wait_for(service.submit([PICTURE]))["status"] == "completed"
        assert service.job(job_id) == view
        assert len(children_of(service)) == 1


def test_the_service_stays_ready_when_a_child_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path, child_max_files="1") as service:
        service.wait_until("/ready")
        (first,) = children_of(service)
        assert service.wait_for(service.submit([PICTURE]))["status"] == "completed"
        assert requests.get(service.url + "/ready", timeout=5).status_code == 200
        while not (children := children_of(service)) or children == [first]:
            assert requests.get(service.url + "/ready", timeout=5).status_code == 200


def test_a_caller_that_gives_up_frees_its_child_and_its_bytes(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(data_dir=tmp_path, default_model="u2netp")
        queue = open_queue(settings)
        worker = init_worker(queue, max_concurrent=1, settings=settings)
        await worker.start()
        call = asyncio.create_task(worker.process_image_bytes(PICTURE[1], model="u2netp"))
        async with asyncio.timeout(30):
            while not list((tmp_path / "data").glob("direct/*/input")):  # noqa: ASYNC110 - an outside view
                await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not [path for path in (tmp_path / "data" / "direct").rglob("*") if path.is_file()]
        assert await worker.process_image_bytes(PICTURE[1], model="u2netp")
        await worker.stop()
        queue.database.close()

    asyncio.run(story())
