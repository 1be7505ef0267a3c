"""Is the process alive, can it work, with which models."""

import logging

from fastapi import APIRouter, Request, Response

from errors import DatabaseError, StorageError
from models import catalog
from models.weights import describe, describe_refiners
from web import schemas
from web.dependencies import PROBLEM, Queue, ServiceSettings, Weights

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"], responses=PROBLEM)


# Async, though it waits for nothing: it must answer also when every thread waits for the database.
@router.get("/health")
async def health(settings: ServiceSettings) -> schemas.HealthView:
    """The process answers; what it accepts."""
    return schemas.HealthView(
        version="0.1.0",
        limits=schemas.LimitsView(
            max_files_per_job=settings.max_files_per_job,
            max_upload_bytes=settings.max_upload_bytes,
            max_request_bytes=settings.max_request_bytes,
            max_megapixels=settings.max_megapixels,
        ),
    )


@router.get("/ready", responses={503: {"model": schemas.ReadyView, "description": "Not yet, and why."}})
def ready(request: Request, queue: Queue, response: Response) -> schemas.ReadyView:
    """200 when pictures can be taken and processed, if only after a pause."""
    try:
        reason = "The service is stopping." if request.app.state.stopping else queue.not_ready_because()
    except DatabaseError as error:
        reason = "The database cannot be written to."
        logger.error("not ready: %s", error)
    except StorageError as error:
        reason = "The storage cannot be written to."
        logger.error("not ready: %s", error)
    if reason is not None:
        response.status_code = 503
    return schemas.ReadyView(status="ready" if reason is None else "not_ready", reason=reason)


@router.get("/models")
def models(settings: ServiceSettings, weights: Weights) -> schemas.ModelsView:
    """Every model and refiner: installed or not, how large, under which licence."""
    default = catalog.find(settings.default_model).name
    described = [model | {"default": model["name"] == default} for model in describe(weights)]
    return schemas.ModelsView(
        default=default,
        models=[schemas.ModelView.model_validate(model) for model in described],
        refiners=[schemas.ModelView.model_validate(refiner) for refiner in describe_refiners(weights)],
    )
