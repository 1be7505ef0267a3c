"""Child processes: what they do, and that whatever happens to one costs one attempt of one file."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from errors import BlobMissing, ChildDied, FileTimeout, ModelLoadFailed, PictureError
from models import catalog
from models.weights import open_store
from operations.child import ChildSetup, Task, warm
from operations.child_handle import Child, fork_server
from operations.pool import WARM_SHARE, ChildPool, Plan, child_bytes
from storage.local import LocalStorage
from tests.pictures import encode
from tests.service import ROOT, SAMPLES, alive, wait_until_dead

MODEL = "u2netp"
MAX_PX = 50_000_000
# A native call that never gives Python's lock back: no thread and no signal handler of Python can run.
HOLD_THE_LOCK = "__import__('ctypes').PyDLL(None).sleep(600)"
CRASH = "__import__('ctypes').string_at(0)"


@pytest.fixture(scope="module")
def weights() -> tuple[Path, ...]:
    return open_store(os.environ).locate(catalog.find(MODEL))


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture
def pool(storage: LocalStorage) -> Iterator[ChildPool]:
    made = ChildPool(
        storage,
        plan=Plan(narrow=1, wide=2),
        memory_bytes=2**40,
        child_max_files=3,
        load_timeout_seconds=60,
        max_pixels=MAX_PX,
        max_idle=1,
    )
    yield made
    made.close()


@pytest.fixture
def child(storage: LocalStorage, weights: tuple[Path, ...]) -> Iterator[Child]:
    made = Child(fork_server(), ChildSetup(MODEL, weights, (1,), storage, MAX_PX), 2**30)
    made.load(60)
    yield made
    made.kill()


def task(storage: LocalStorage, name: str = "out", picture: bytes | None = None) -> Task:
    storage.put("in/0/0", SAMPLES[0].read_bytes() if picture is None else picture)
    return Task("remove_background", {"model": MODEL}, "in/0/0", f"results/0/{name}")


def test_a_picture_goes_from_storage_to_storage(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    outcome = pool.run("lease", MODEL, weights, task(storage), 60)
    written = storage.get(outcome.output_key)
    assert written.startswith(b"\x89PNG")
    assert (outcome.output_bytes, outcome.content_type, outcome.extension) == (len(written), "image/png", "png")


def test_what_came_along_lies_beside_the_picture(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    """The background picture reaches the operation; without its bytes there is no result."""
    plain = task(storage)
    options = {"background_image": "0" * 64, "format": "png", "crop": True}
    dressed = replace(plain, params={**plain.params, **options}, output_key="results/0/dressed")
    with pytest.raises(BlobMissing, match="in/0/background_image"):
        pool.run("lease", MODEL, weights, dressed, 60)
    green = Image.new("RGB", (20, 20), (0, 255, 0))
    storage.put("in/0/background_image", encode(green, "PNG"))
    outcome = pool.run("lease", MODEL, weights, dressed, 60)
    result = Image.open(BytesIO(storage.get(outcome.output_key)))
    assert result.size == (outcome.width, outcome.height)
    assert result.getpixel((0, 0)) == (0, 255, 0, 255)
    assert outcome.notes["subject_box"]


def test_a_child_is_reused_and_replaced_after_its_number_of_files(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    pids = []
    for number in range(4):
        pool.run(f"lease {number}", MODEL, weights, task(storage, str(number)), 60)
        pids.append([child.pid for child in pool._idle])
    assert pids[0] == pids[1]
    assert pids[2] == []  # it had done three
    assert pids[3] not in ([], pids[0])


def test_a_bad_picture_fails_without_harm_to_the_child(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    with pytest.raises(PictureError) as raised:
        pool.run("lease", MODEL, weights, task(storage, picture=b"\x89PNG\r\n\x1a\nnothing"), 60)
    assert raised.value.detail.endswith(".")
    assert len(pool._idle) == 1


def test_a_file_that_takes_too_long_is_stopped(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    pool.warm(MODEL, weights)
    (idle,) = pool._idle
    assert idle.pid is not None
    os.kill(idle.pid, signal.SIGSTOP)
    with pytest.raises(FileTimeout, match="longer than the 1 seconds"):
        pool.run("lease", MODEL, weights, task(storage), 1)
    assert wait_until_dead([idle.pid], 5) == []
    assert pool.run("lease", MODEL, weights, task(storage), 60).output_bytes > 0


def test_a_crash_in_native_code_costs_that_call_only(child: Child) -> None:
    with pytest.raises(ChildDied):
        child.call(eval, 30, CRASH)
    assert not child.usable


def test_a_child_that_eats_memory_is_stopped_by_its_limit(child: Child) -> None:
    with pytest.raises(MemoryError):
        child.call(eval, 30, "len(bytes(64 * 2**30))")
    assert child.call(warm, 5) == child.pid  # and lives on


def test_a_child_that_holds_the_interpreter_lock_is_stopped(child: Child) -> None:
    assert child.pid is not None
    with pytest.raises(FileTimeout):
        child.call(eval, 1, HOLD_THE_LOCK)
    assert wait_until_dead([child.pid], 5) == []


def test_a_child_that_died_while_idle_is_nobodys_fault(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    pool.warm(MODEL, weights)
    (idle,) = pool._idle
    assert idle.pid is not None
    os.kill(idle.pid, signal.SIGKILL)
    assert idle._calls.poll(5)  # all its threads are gone
    assert pool.run("lease", MODEL, weights, task(storage), 60).output_bytes > 0


def test_a_running_file_can_be_stopped_from_outside(
    pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    pool.warm(MODEL, weights)
    (idle,) = pool._idle
    assert idle.pid is not None
    os.kill(idle.pid, signal.SIGSTOP)
    stopper = threading.Timer(0.2, pool.kill, ["lease"])
    stopper.start()
    with pytest.raises(ChildDied):
        pool.run("lease", MODEL, weights, task(storage), 60)
    assert wait_until_dead([idle.pid], 5) == []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pool_of(storage: LocalStorage, memory_bytes: int) -> ChildPool:
    return ChildPool(
        storage,
        plan=Plan(narrow=1, wide=2),
        memory_bytes=memory_bytes,
        child_max_files=9,
        load_timeout_seconds=60,
        max_pixels=MAX_PX,
        max_idle=2,
    )


def test_idle_models_are_unloaded_when_memory_is_short(
    storage: LocalStorage, weights: tuple[Path, ...], tmp_path: Path
) -> None:
    small = pool_of(storage, memory_bytes=1)
    custom = tmp_path / "u2net_custom.onnx"
    custom.write_bytes(weights[0].read_bytes())
    try:
        small.warm(MODEL, weights)
        (first,) = small._idle
        small.warm("u2net_custom", (custom,))
        assert not first.usable
        assert small.warm_models() == ["u2net_custom"]
    finally:
        small.close()


def test_work_waits_while_others_leave_too_little_memory(
    storage: LocalStorage, weights: tuple[Path, ...], caplog: pytest.LogCaptureFixture
) -> None:
    tight = pool_of(storage, memory_bytes=child_bytes(weights, 2))
    try:
        tight.warm(MODEL, weights)
        (child,) = tight._idle
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        with ThreadPoolExecutor(2) as threads:
            runs = [
                threads.submit(tight.run, name, MODEL, weights, task(storage, name), 60) for name in ("first", "second")
            ]
            wait_until(lambda: bool(caplog.records))
            os.kill(child.pid, signal.SIGCONT)
            assert all(run.result().output_bytes > 0 for run in runs)
        assert "fewer pictures at once with model u2netp" in caplog.text
        assert tight._idle == [child]
    finally:
        tight.close()


def test_whoever_waits_for_memory_is_served_in_turn_or_stopped(
    storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    tight = pool_of(storage, memory_bytes=child_bytes(weights, 2))
    order: list[str] = []

    def run(name: str) -> None:
        try:
            child = tight._take(name, MODEL, weights)
        except ChildDied:
            order.append(f"{name} stopped")
        else:
            order.append(name)
            tight._put_back(name, child)

    try:
        held = tight._take("holder", MODEL, weights)
        with ThreadPoolExecutor(3) as threads:
            for place, name in enumerate(("first", "second", "third"), 1):
                threads.submit(run, name)
                wait_until(lambda place=place: len(tight._line) == place)  # type: ignore[misc]
            tight.kill("second")
            wait_until(lambda: order == ["second stopped"])
            tight._put_back("holder", held)
        assert order == ["second stopped", "first", "third"]
    finally:
        tight.close()


def test_a_picture_alone_has_every_core(pool: ChildPool, storage: LocalStorage, weights: tuple[Path, ...]) -> None:
    files = [
        storage.get(pool.run("a", MODEL, weights, task(storage), 60, alone=alone).output_key) for alone in (True, False)
    ]
    (child,) = pool._idle
    assert child.setup.threads == (1, 2)
    told = child.call(
        eval,
        5,
        "{n: s._backend.inner_session.get_session_options().intra_op_num_threads for n, s in "
        "__import__('operations.child').child.Loaded.sessions.items()}",
    )
    assert told == {1: 1, 2: 2}
    assert files[0] == files[1]


def test_only_the_first_child_of_a_model_is_loaded_for_two_numbers_of_threads(
    storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    pool = pool_of(storage, memory_bytes=2**40)
    try:
        taken = [pool._take(name, MODEL, weights) for name in ("first", "second")]
        assert [child.setup.threads for child in taken] == [(1, 2), (1,)]
        for name, child in zip(("first", "second"), taken, strict=True):
            pool._put_back(name, child)
        assert pool._take("third", MODEL, weights) is taken[0]
    finally:
        pool.close()


EMPTIED = """
import shutil, sys
from multiprocessing import process
from pathlib import Path
from errors import NoChild
from operations.pool import ChildPool, Plan
from storage.local import LocalStorage
if __name__ == "__main__":
    pool = ChildPool(LocalStorage(Path(".")), Plan(1, 1), 2**40, 9, 60, 1_000_000, 2)
    weights = (Path(sys.argv[1]),)
    pool.warm("u2netp", weights)
    shutil.rmtree(process.current_process()._config["tempdir"])
    try:
        pool.warm_another("u2netp", weights)
    except NoChild as error:
        print(error.detail)
    finally:
        pool.close()
"""


def test_a_system_that_makes_no_process_is_told(weights: tuple[Path, ...], tmp_path: Path) -> None:
    """As when somebody emptied the folder for temporary files under a running service."""
    script = tmp_path / "emptied.py"
    script.write_text(EMPTIED)
    done = subprocess.run(
        [sys.executable, str(script), str(weights[0])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    expected = "No process can be made for model u2netp (No such file or directory). A restart of the service may help."
    assert done.stdout.strip() == expected


def test_more_children_are_warm_as_long_as_slots_and_memory_allow(
    storage: LocalStorage, weights: tuple[Path, ...]
) -> None:
    for memory_bytes, expected in ((2**40, [1, 2, 2]), (WARM_SHARE * child_bytes(weights, 2), [1, 1, 1])):
        pool = pool_of(storage, memory_bytes)
        try:
            pool.warm(MODEL, weights)
            idle = []
            for _ in range(3):
                idle.append(len(pool._idle))
                pool.warm_another(MODEL, weights)
            assert idle == expected
        finally:
            pool.close()


def test_damaged_weights_are_told_and_not_waited_for(pool: ChildPool, tmp_path: Path) -> None:
    broken = tmp_path / "u2netp.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelLoadFailed, match="u2netp"):
        pool.warm(MODEL, (broken,))


OWNER = """
import os, sys, threading
from pathlib import Path
from models import catalog
from models.weights import open_store
from operations.child import ChildSetup
from operations.child_handle import Child, fork_server
from storage.local import LocalStorage
if __name__ == "__main__":
    paths = open_store(os.environ).locate(catalog.find("u2netp"))
    setup = ChildSetup("u2netp", paths, (1,), LocalStorage(Path(".")), 1_000_000)
    children = [Child(fork_server(), setup, 2**30) for _ in range(2)]
    for child in children:
        child.load(60)
    for child, code in zip(children, sys.argv[1:]):
        threading.Thread(target=child.call, args=(eval, 600, code), daemon=True).start()
    print(*(child.pid for child in children), flush=True)
    threading.Event().wait()
"""


def test_children_die_with_their_owner_even_when_they_hang(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owner = subprocess.Popen(
        [sys.executable, str(script), HOLD_THE_LOCK, "None"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    owner.kill()
    owner.wait()
    assert wait_until_dead(pids, 5) == []


def test_warm_tells_the_process(child: Child) -> None:
    assert child.call(warm, 5) == child.pid
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 10
