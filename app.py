"""The only assembler: settings → database → storage → queue → worker → FastAPI."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

import log_setup
from database.engine import Database
from database.migrate import upgrade
from errors import ServiceError, UnknownModel
from fetching import Fetcher
from job_worker import JobWorker, init_worker
from models import catalog
from models.weights import open_store
from process_life import RefusalInOneLine, cannot_start, have_temporary_folder, say_goodbye_first
from queue_manager import QueueManager
from settings import Settings, unknown_variables
from storage.local import LocalStorage
from submission import Limits
from web import (
    act_routes,
    board_routes,
    docs_routes,
    event_routes,
    health_routes,
    page_routes,
    preview_routes,
    problems,
    queue_routes,
    rembg_routes,
    remove_routes,
    removebg_routes,
    session_routes,
    submit_routes,
)
from web.access import TokenGate
from web.event_feed import EventFeed
from web.exposure import listens_beyond_loopback
from web.head import HeadAsGet
from web.removebg_errors import RemoveBgErrors
from web.small_bodies import SmallBodies
from web.sources import FetchSlots
from web.stopping import LastWords
from web.waiting import Waiting

logger = logging.getLogger(__name__)

EXPOSED = (
    *("Location", "ETag", "Retry-After", "Content-Disposition", "Idempotent-Replayed", "Preference-Applied"),
    *("X-Job-Id", "X-Width", "X-Height", "X-Type", "X-Credits-Charged"),
)
# A token, and a thousand ids.
JSON_BYTES = {"/session": 10_000, "/queue/jobs/act": 500_000}
DESCRIPTION = """Cuts pictures out of their backgrounds: submit, poll, download.
Errors are `application/problem+json` with a sentence in `detail` and a stable `code`."""


def open_queue(settings: Settings) -> QueueManager:
    """The queue of these settings, its database brought up to date."""
    settings.blob_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.resolved_database_url, settings.sqlite_synchronous)
    upgrade(database)
    limits = Limits(
        settings.max_files_per_job,
        settings.max_upload_bytes,
        settings.max_request_bytes,
        settings.max_pixels,
        settings.max_pending_files,
        settings.disk_reserve_bytes,
    )
    return QueueManager(database, LocalStorage(settings.blob_dir), limits, settings.lease_seconds)


def fetcher_of(settings: Settings) -> Fetcher:
    return Fetcher(
        settings.fetch_urls,
        settings.max_upload_bytes,
        settings.fetch_ports,
        settings.fetch_allowed_hosts,
        settings.fetch_timeout_seconds,
    )


async def warn_when_open(settings: Settings, worker: JobWorker) -> None:
    """Once the server listens, which is after the start of the application; of many processes, one is enough."""
    await asyncio.sleep(1)
    if settings.api_token is None and worker.status == "running" and listens_beyond_loopback():
        logger.warning("anybody who reaches this machine may use the service: set QUEUE_API_TOKEN to lock it")


def spare_the_collector() -> None:
    """What is loaded by now stays: with every core busy, looking through it for garbage took up to 100 ms."""
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()


def create_app(settings: Settings) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log_setup.configure(settings)
        queue = await asyncio.to_thread(open_queue, settings)
        have_temporary_folder(settings.blob_dir)
        # Whoever waits for a reload is at the keyboard; what is in hand goes back into the queue.
        drain = 0.0 if "--reload" in sys.argv else settings.drain_seconds
        worker = init_worker(queue, settings=settings.model_copy(update={"drain_seconds": drain}))
        app.state.queue = queue
        app.state.waiting = Waiting(queue)
        app.state.feed = EventFeed(queue, settings)
        app.state.worker = worker
        await worker.start()
        if worker.status == "running":  # of many processes, one is enough
            for sentence in unknown_variables(os.environ):
                logger.warning(sentence)
        spare_the_collector()
        say_goodbye_first(app, settings.pre_stop_seconds, (app.state.feed.end, app.state.waiting.end_soon))
        warning = asyncio.create_task(warn_when_open(settings, worker))
        try:
            yield
        finally:
            warning.cancel()
            await worker.stop()
            queue.database.close()

    catalog.find(settings.default_model)
    app = FastAPI(
        title="rembg microservice",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's own pages load their scripts from another host: see web/docs_routes.py.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.stopping = False
    app.state.weights = open_store(os.environ)
    app.state.fetching = FetchSlots(fetcher_of(settings))
    problems.register(app)
    docs_routes.register(app)
    app.include_router(submit_routes.router)
    app.include_router(remove_routes.router)
    app.include_router(rembg_routes.router)
    app.include_router(removebg_routes.router)
    app.include_router(queue_routes.router)
    app.include_router(act_routes.router)
    app.include_router(board_routes.router)
    app.include_router(event_routes.router)
    app.include_router(preview_routes.router)
    app.include_router(health_routes.router)
    app.include_router(session_routes.router)
    app.include_router(page_routes.router)
    app.mount("/page", page_routes.zipped_files)
    app.add_middleware(SmallBodies, limits=JSON_BYTES)
    if settings.api_token is not None:
        app.add_middleware(TokenGate, token=settings.api_token.get_secret_value())
    app.add_middleware(RemoveBgErrors)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RefusalInOneLine)
    app.add_middleware(LastWords)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    return app


def exit_when_taken(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        sys.exit(
            f"Port {port} on {host} cannot be used: {error.strerror}. "
            "If another program has it (on macOS often AirPlay), choose another one: PORT=5001 make run"
        )


def main() -> None:
    """`python app.py`: say where to go, then become the web server. HOST, PORT and DATA_DIR from the environment."""
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "5000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        sys.exit(f"PORT is a number from 1 to 65535, not {port!r}.")
    if data_dir := os.environ.get("DATA_DIR"):
        os.environ["QUEUE_DATA_DIR"] = data_dir
    open_or_exit(app_or_exit().state.settings)
    exit_when_taken(host, int(port))
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{shown}:{port}"
    option = "" if port == "5000" and shown == "127.0.0.1" else f" --url {address}"
    print(f"Open {address} and drop a picture (API docs at {address}/docs). From another terminal:", flush=True)
    print(
        f"  {os.path.relpath(sys.executable)} queue_example.py{option} submit docs/samples/cat.jpg --wait --out out",
        flush=True,
    )
    # For the server, and for the fork server of the children, wherever this was started.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    os.execv(sys.executable, [sys.executable, "-m", "uvicorn", "app:app", "--host", host, "--port", port])


def app_or_exit() -> FastAPI:
    """A wrong setting ends the start with a sentence, not with a traceback."""
    try:
        settings = Settings()
        settings.blob_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=settings.blob_dir).close()
        make_url(settings.resolved_database_url).get_dialect()
        return create_app(settings)
    except OSError as error:
        sys.exit(f"The service cannot start: its data directory cannot be made or used ({error}).")
    except (ArgumentError, NoSuchModuleError) as error:
        sys.exit(f"The service cannot start, because of QUEUE_DATABASE_URL. {error}.")
    except ValidationError as error:
        faults = "; ".join(f"QUEUE_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        sys.exit(f"The service cannot start with these settings. {faults}.")
    except UnknownModel as error:
        sys.exit(f"The service cannot start, because of QUEUE_DEFAULT_MODEL. {error}")


def open_or_exit(settings: Settings) -> None:
    """Before it is said where the service is to be found."""
    try:
        open_queue(settings).database.close()
    except (ServiceError, OSError) as error:
        sys.exit(cannot_start(error))


if __name__ == "__main__":
    main()
else:
    app = app_or_exit()
