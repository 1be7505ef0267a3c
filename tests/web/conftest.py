from collections.abc import Iterator

import pytest

from queue_manager import QueueManager
from settings import Settings
from tests.service import Service, running
from tests.web.site import Site, serving


@pytest.fixture(scope="session")
def open_site() -> Iterator[Site]:
    settings = Settings(default_model="u2net", api_token=None, cors_origins=("*",))
    with serving(settings) as site:
        yield site


@pytest.fixture(scope="session")
def locked_site() -> Iterator[Site]:
    settings = Settings.model_validate({"api_token": "s3cret", "cors_origins": "https://shop.example"})
    with serving(settings) as site:
        yield site


@pytest.fixture
def site(open_site: Site, queue: QueueManager) -> Site:
    """Anybody may come in; nobody works on the queue but the test."""
    open_site.hold(queue)
    return open_site


@pytest.fixture
def locked(locked_site: Site, queue: QueueManager) -> Site:
    """Only who knows the token comes in."""
    locked_site.hold(queue)
    return locked_site


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service in a process of its own, worker included."""
    with running(tmp_path_factory.mktemp("service"), max_concurrent="1") as started:
        started.wait_until("/ready")
        yield started
