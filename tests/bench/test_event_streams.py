"""The short run of bench/event_streams.py: a few streams, all of which are told of every end."""

import asyncio
from pathlib import Path

import requests

from app import open_queue
from bench.event_streams import measure
from settings import Settings
from tests.service import running


def test_every_stream_is_told_of_every_end(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.wait_until("/ready")
        requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
        queue = open_queue(Settings(data_dir=tmp_path))
        heard, took = asyncio.run(measure(service.url, queue, streams=5, jobs=20, rate=50))
        queue.database.close()
    assert heard.ends == [20] * 5
    assert len(heard.delays) == 20
    assert took
