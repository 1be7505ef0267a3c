"""The same work is not done twice: which files count as the same, and what becomes of the earlier result."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from database.engine import Database
from database.file_store import LATEST_WITH_RESULT
from job import Lease, NewFile
from models.catalog import MODELS, Model, WeightFile
from queue_manager import QueueManager
from reuse import with_reuse_keys
from tests.faults.children import results_of
from tests.queues import CUTOUT, PICTURE, claim, finish, publish, stored, submit
from tests.service import SAMPLES, running

FILE = NewFile("a.png", "uploads/a/0", 10, "ab" * 32, "png")
U2NETP = MODELS["u2netp"]


def key(
    file: NewFile = FILE, operation: str = "remove_background", model: Model = U2NETP, **params: object
) -> str | None:
    (made,) = with_reuse_keys([file], operation, {"model": model.name, **params}, model)
    return made.reuse_key


def test_only_bytes_operation_parameters_and_weights_count() -> None:
    same = replace(FILE, filename="other.png", input_key="uploads/b/7")
    assert key(same) == key()
    other_weights = replace(U2NETP, files=(replace(U2NETP.files[0], sha256="cd" * 32),))
    others = [
        key(replace(FILE, input_sha256="cd" * 32)),
        key(operation="face_crop"),
        key(png_compression="small"),
        key(model=MODELS["u2net"]),
        key(model=other_weights),
    ]
    assert len({key(), *others}) == 1 + len(others)


def test_weights_that_an_operator_may_exchange_give_no_key() -> None:
    assert key(model=MODELS["u2net_custom"]) is None
    assert key(model=replace(U2NETP, files=(*U2NETP.files, WeightFile("more.onnx")))) is None


def work_or_take(queue: QueueManager, lease: Lease) -> bool:
    """As the worker does it; whether an earlier result was taken."""
    earlier = queue.earlier_results.take(lease)
    if earlier is None:
        finish(queue, lease)
    else:
        publish(queue, lease, earlier)
    return earlier is not None


def test_an_earlier_result_is_taken_and_outlives_the_job_it_comes_from(queue: QueueManager) -> None:
    first = submit(queue, "first.png")
    assert not work_or_take(queue, *claim(queue))
    second = submit(queue, "second.png")
    assert work_or_take(queue, *claim(queue))
    (result,) = queue.job(second).results or ()
    assert (result["cached"], result["attempts"], result["filename"]) == (True, 1, "second.png")
    (made,) = queue.job(first).results or ()
    assert (made["cached"], made["sha256"]) == (False, result["sha256"])
    old, new = (queue.result(job_id, 0) for job_id in (first, second))
    assert old.output_key != new.output_key
    queue.storage.delete(str(old.output_key))
    assert queue.storage.get(str(new.output_key)) == CUTOUT


def test_without_it_the_work_is_done(queue: QueueManager) -> None:
    queue.create_job([("first.png", PICTURE)], model="u2netp")
    assert not work_or_take(queue, *claim(queue))
    submission = queue.begin_submission()
    submission.take([("second.png", PICTURE)])
    queue.submit(submission, model="u2netp", cache=False)
    assert not work_or_take(queue, *claim(queue))


def test_a_result_whose_bytes_are_gone_is_made_again(queue: QueueManager, caplog: pytest.LogCaptureFixture) -> None:
    first = submit(queue)
    work_or_take(queue, *claim(queue))
    queue.storage.delete(str(queue.result(first, 0).output_key))
    second = submit(queue)
    assert not work_or_take(queue, *claim(queue))
    assert f"job {second} file 0: no earlier result" in caplog.text


def test_a_late_worker_leaves_nothing_behind(queue: QueueManager) -> None:
    submit(queue)
    work_or_take(queue, *claim(queue))
    before = stored(queue.storage)
    late = submit(queue)
    (lease,) = claim(queue)
    earlier = queue.earlier_results.take(lease)
    assert earlier is not None
    queue.cancel_job(late, force=True)
    assert queue.complete_many([(lease, earlier)]) == [lease]
    assert stored(queue.storage) == before


def test_the_sweep_leaves_a_result_that_is_just_being_taken(queue: QueueManager) -> None:
    first = submit(queue)
    work_or_take(queue, *claim(queue))
    old = queue.storage.root / str(queue.result(first, 0).output_key)  # type: ignore[attr-defined]
    os.utime(old, (1_000_000, 1_000_000))
    submit(queue)
    (lease,) = claim(queue)
    earlier = queue.earlier_results.take(lease)
    assert earlier is not None
    queue.sweep_orphans(timedelta(hours=24))
    publish(queue, lease, earlier)
    assert queue.storage.get(earlier.output_key) == CUTOUT


def test_the_search_walks_its_index(queue: QueueManager) -> None:
    database: Database = queue.database
    with database.read() as connection:
        statement = str(LATEST_WITH_RESULT.compile(connection))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("k", 1, 0)).all()
    assert "ix_job_files_reusable" in str(plan)


def test_a_service_takes_a_result_again_unless_asked_not_to(tmp_path: Path) -> None:
    picture = (SAMPLES[0].name, SAMPLES[0].read_bytes())
    with running(tmp_path) as service:
        service.wait_until("/ready")
        views = [
            service.wait_for(service.submit([picture], **query))
            for query in ({"cache": "on"}, {"cache": "on"}, {"cache": "off"}, {"png_compression": "small"})
        ]
        first, again, afresh, smaller = (results_of(view)[0] for view in views)
        assert [result["cached"] for result in (first, again, afresh, smaller)] == [False, True, False, False]
        assert first["sha256"] == again["sha256"] == afresh["sha256"] != smaller["sha256"]
        assert service.wait_for(service.submit([picture, picture], cache="on"))["progress"] == {
            "total": 2,
            "processed": 2,
            "failed": 0,
        }
        assert service.log.count("completed in 0.00 s") == 3
