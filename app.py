"""The only assembler: settings → database → storage → queue → worker → FastAPI."""

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import ValidationError

import log_setup
from database.engine import Database
from database.migrate import upgrade
from errors import UnknownModel
from job_worker import JobWorker, init_worker
from models import catalog
from models.weights import open_store
from queue_manager import QueueManager
from settings import Settings
from storage.local import LocalStorage
from submission import Limits
from web import health_routes, problems, queue_routes
from web.access import TokenGate
from web.exposure import listens_beyond_loopback

logger = logging.getLogger(__name__)

DESCRIPTION = """Cuts pictures out of their backgrounds: submit, poll, download.
Errors are `application/problem+json` with a sentence in `detail` and a stable `code`."""


def open_queue(settings: Settings) -> QueueManager:
    """The queue of these settings, its database brought up to date."""
    settings.blob_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.resolved_database_url, settings.sqlite_synchronous)
    upgrade(database)
    limits = Limits(
        settings.max_files_per_job, settings.max_upload_bytes, settings.max_request_bytes, settings.max_pixels
    )
    return QueueManager(database, LocalStorage(settings.blob_dir), limits, settings.lease_seconds)


def have_temporary_folder(settings: Settings) -> None:
    """The fork server's socket needs one; a read-only container may have none."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = str(settings.blob_dir)


async def warn_when_open(settings: Settings, worker: JobWorker) -> None:
    """Once the server listens, which is after the start of the application; of many processes, one is enough."""
    await asyncio.sleep(1)
    if settings.api_token is None and worker.status == "running" and listens_beyond_loopback():
        logger.warning("anybody who reaches this machine may use the service: set QUEUE_API_TOKEN to lock it")


def create_app(settings: Settings) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log_setup.configure(settings)
        queue = await asyncio.to_thread(open_queue, settings)
        have_temporary_folder(settings)
        worker = init_worker(queue, settings=settings)
        app.state.queue = queue
        app.state.worker = worker
        await worker.start()
        warning = asyncio.create_task(warn_when_open(settings, worker))
        try:
            yield
        finally:
            warning.cancel()
            await worker.stop()
            queue.database.close()

    catalog.find(settings.default_model)
    app = FastAPI(title="rembg microservice", version="0.1.0", description=DESCRIPTION, lifespan=lifespan)
    app.state.settings = settings
    app.state.weights = open_store(os.environ)
    problems.register(app)
    app.include_router(queue_routes.router)
    app.include_router(health_routes.router)
    if settings.api_token is not None:
        app.add_middleware(TokenGate, token=settings.api_token.get_secret_value())
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["Location", "ETag", "Retry-After", "Content-Disposition"],
    )
    return app


def main() -> None:
    """`python app.py`: say where to go, then become the web server. HOST, PORT and DATA_DIR from the environment."""
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "5000"
    if data_dir := os.environ.get("DATA_DIR"):
        os.environ["QUEUE_DATA_DIR"] = data_dir
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{shown}:{port}"
    option = "" if port == "5000" and shown == "127.0.0.1" else f" --url {address}"
    print(f"Serving on {address} (API docs at {address}/docs). Cut out a sample from another terminal:", flush=True)
    print(
        f"  {os.path.relpath(sys.executable)} queue_example.py{option} submit docs/samples/cat.jpg --wait --out out",
        flush=True,
    )
    os.execv(sys.executable, [sys.executable, "-m", "uvicorn", "app:app", "--host", host, "--port", port])


def app_or_exit() -> FastAPI:
    """A wrong setting ends the start with a sentence, not with a traceback."""
    try:
        return create_app(Settings())
    except ValidationError as error:
        faults = "; ".join(f"QUEUE_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        sys.exit(f"The service cannot start with these settings. {faults}.")
    except UnknownModel as error:
        sys.exit(f"The service cannot start, because of QUEUE_DEFAULT_MODEL. {error}")


if __name__ == "__main__":
    main()
else:
    app = app_or_exit()
