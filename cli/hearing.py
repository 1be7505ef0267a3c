"""Jobs that have changed, as the service tells of them while the command does something else."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence

from cli.client import Client
from cli.trouble import Trouble

# What no event tells of, such as the progress of a download, is asked for as often as this.
QUIET_SECONDS = 1.0


class Hearing:
    """Listens in a thread of its own. Where there is nothing to hear, or no longer, all jobs are asked about."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._hears = False
        self._last_round = time.monotonic()
        # Nothing ends it: it goes with the command.
        threading.Thread(target=self._listen, name="events", daemon=True).start()

    def _listen(self) -> None:
        # If trouble matters, the next question meets it too.
        with contextlib.suppress(Trouble):
            for job_id in self._client.changes():
                self._hears = True
                if job_id:
                    self._changed.put(job_id)
        self._hears = False

    def next(self, job_ids: Sequence[str]) -> Sequence[str]:
        """Those of the jobs that have changed, as soon as there are any; every now and then all of them."""
        pause = pause_seconds(len(job_ids))
        round_at = self._last_round + (max(pause, QUIET_SECONDS) if self._hears else pause)
        changed: set[str] = set()
        while changed.isdisjoint(job_ids) and (left := round_at - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                changed.add(self._changed.get(timeout=left))
        while not self._changed.empty():
            changed.add(self._changed.get())
        if time.monotonic() < round_at:
            return [job_id for job_id in job_ids if job_id in changed]
        self._last_round = time.monotonic()
        return job_ids


def pause_seconds(jobs: int) -> float:
    """Between two looks at so many jobs: the more there are, the rarer."""
    return min(5.0, 0.2 + 0.05 * jobs)
