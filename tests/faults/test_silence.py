"""A worker is silent: beyond its lease it loses its files and its late results, within its lease it loses nothing."""

import signal
import sys
import time
from pathlib import Path

from app import open_queue
from bench.frozen_service import PICTURE, outlive, publish_instead, published
from settings import Settings
from tests.faults.children import freeze, hold, in_hand, results_of, rows, signal_all
from tests.faults.short_lease_app import LEASE_SECONDS
from tests.queues import CUTOUT
from tests.service import POLL_SECONDS, running, wait_until_dead

SHORT_LEASE_APP = [
    *(sys.executable, "-m", "uvicorn", "tests.faults.short_lease_app:app"),
    *("--host", "127.0.0.1", "--port", "{port}"),
]


def test_a_service_that_was_frozen_beyond_its_lease_publishes_nothing_late(tmp_path: Path) -> None:
    """The short run of bench/frozen_service.py."""
    with running(tmp_path, SHORT_LEASE_APP, max_concurrent="1") as service:
        service.wait_until("/ready")
        figures = outlive(service, LEASE_SECONDS)
    assert figures.faults == []
    assert figures.frozen_seconds >= LEASE_SECONDS / 2


def test_a_child_whose_file_was_lost_meanwhile_is_stopped_and_the_log_says_so(tmp_path: Path) -> None:
    with running(tmp_path, SHORT_LEASE_APP, max_concurrent="1") as service:
        service.wait_until("/ready")
        job_id = service.submit([PICTURE])
        children = hold(service, 1)
        freeze(service)
        other = open_queue(Settings(data_dir=tmp_path).model_copy(update={"lease_seconds": LEASE_SECONDS}))
        publish_instead(service, other)
        other.database.close()
        service.process.send_signal(signal.SIGCONT)
        assert wait_until_dead(children, 30) == []
        service.wait_for_log(f"job {job_id} file 0 ({PICTURE[0]}): the lease is lost")
        assert [entry["attempts"] for entry in results_of(service.job(job_id))] == [1]
        assert published(service, job_id) == CUTOUT


def test_a_service_that_stands_still_for_ten_seconds_keeps_its_files(tmp_path: Path) -> None:
    """All of it, heartbeat included: that is more than a blocked event loop."""
    with running(tmp_path, max_concurrent="1", lease_seconds="30") as service:
        service.wait_until("/ready")
        job_id = service.submit([PICTURE])
        children = hold(service, 1)
        held = in_hand(service)
        freeze(service)
        other = open_queue(Settings(data_dir=tmp_path, lease_seconds=30))
        wakes = time.monotonic() + 10
        while time.monotonic() < wakes:
            other.expire_leases()
            assert in_hand(service) == held
            time.sleep(POLL_SECONDS)
        other.database.close()
        signal_all([service.process.pid, *children], signal.SIGCONT)
        assert [entry["attempts"] for entry in results_of(service.wait_for(job_id))] == [1]
        assert rows(service, "SELECT lost_leases FROM job_files") == [(0,)]
        assert "lease" not in service.log
