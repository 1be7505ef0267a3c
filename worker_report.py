"""What a worker tells of itself, and when it is time to tell it again."""

import os
import socket
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median

from job import WorkerState

# Files whose durations the estimates of waiting are made of.
MEDIAN_FILES = 50


class WorkerReport:
    """The facts of one worker, and the last report of them."""

    def __init__(self, max_concurrent: int) -> None:
        self.machine = socket.gethostname()
        self.worker_id = f"{self.machine}/{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.started_at = ""
        # The default model was loaded and can be again; a child that is replaced or unloaded does not change that.
        self.ready = False
        self.trouble: str | None = None
        self.restarts = 0
        self._max_concurrent = max_concurrent
        self._durations: deque[float] = deque(maxlen=MEDIAN_FILES)
        self._last: WorkerState | None = None

    def file_took(self, seconds: float) -> None:
        self._durations.append(seconds)

    def state(
        self,
        now: str,
        status: str,
        active_files: int,
        warm_models: Sequence[str],
        downloads: Mapping[str, tuple[int, int | None]],
    ) -> WorkerState:
        return WorkerState(
            id=self.worker_id,
            machine=self.machine,
            pid=os.getpid(),
            started_at=self.started_at,
            heartbeat_at=now,
            status=status,
            active_files=active_files,
            max_concurrent=self._max_concurrent,
            state={
                "warm_models": list(warm_models),
                "ready": self.ready,
                "trouble": self.trouble,
                "restarts": self.restarts,
                "median_seconds": round(median(self._durations), 3) if self._durations else None,
                "downloads": {name: {"done": done, "total": total} for name, (done, total) in downloads.items()},
            },
        )

    def due(self, state: WorkerState, interval_seconds: float) -> bool:
        """Whether something changed that others want to know, or the last report is old."""
        if self._last is None:
            return True
        before = self._last
        # By the clock that others read it with, so that one that was set back or forth is followed at once.
        age = datetime.fromisoformat(state.heartbeat_at) - datetime.fromisoformat(before.heartbeat_at)
        # The median moves with every file; the next regular report is soon enough for it.
        quiet = {"median_seconds": before.state["median_seconds"]} if before.state["median_seconds"] else {}
        same = replace(
            state,
            heartbeat_at=before.heartbeat_at,
            active_files=before.active_files,
            state={**state.state, **quiet},
        )
        return same != before or not timedelta(0) <= age <= timedelta(seconds=interval_seconds)

    def told(self, state: WorkerState) -> None:
        self._last = state

    def start_anew(self, now: str) -> None:
        """The next `due` says yes."""
        self.started_at = now
        self._last = None


def seconds_for(files: int | None, workers: Sequence[WorkerState]) -> float | None:
    """How long workers need for so many files, by the median of their last ones; None when that or this is unknown."""
    slots = sum(worker.max_concurrent for worker in workers)
    medians = [worker.state.get("median_seconds") for worker in workers]
    known = [median for median in medians if isinstance(median, float)]
    return round(files * max(known) / slots, 3) if files is not None and known and slots else None


def reason_not_ready(workers: Sequence[WorkerState]) -> str | None:
    """None when one of the workers can process a picture."""
    if not workers:
        return "No worker is running yet."
    if any(worker.state.get("ready") for worker in workers):
        return None
    troubles = [str(worker.state["trouble"]) for worker in workers if worker.state.get("trouble")]
    return troubles[0] if troubles else "The default model is being loaded."
