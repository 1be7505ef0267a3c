"""The command line as a process of its own, against a service of its own."""

from collections.abc import Iterator

import pytest
import requests

from tests.cli.command_line import CommandLine
from tests.service import Service, running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Ready, and taking five files and 10 MiB a job, so that a handful of pictures is a large folder."""
    limits = {"max_files_per_job": "5", "max_request_bytes": str(10 * 2**20)}
    with running(tmp_path_factory.mktemp("service"), **limits) as started:
        started.wait_until("/ready")
        yield started


@pytest.fixture
def cli(service: Service) -> CommandLine:
    return CommandLine(service.url)


@pytest.fixture
def paused(service: Service) -> Iterator[None]:
    """Nothing is begun while a test runs, so what it queues stays pending."""
    requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
    yield
    requests.post(f"{service.url}/queue/resume", timeout=10).raise_for_status()
