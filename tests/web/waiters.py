"""Clients that wait for an answer while the test does the work."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from job import Lease
from tests.queues import claim
from tests.web.site import Site, wait_until

T = TypeVar("T")


def claimed(site: Site, files: int = 1) -> list[Lease]:
    """So many files, once they are all in the queue."""
    leases: list[Lease] = []

    def all_there() -> bool:
        leases.extend(claim(site.queue))
        return len(leases) == files

    wait_until(all_there)
    return leases


@contextmanager
def asking(ask: Callable[[], T]) -> Iterator[Future[T]]:
    """Ask in a thread of its own."""
    with ThreadPoolExecutor(1) as client:
        yield client.submit(ask)
