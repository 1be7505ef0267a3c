"""Is the process alive, can it work, with which models."""

from fastapi import APIRouter, Response

from models import catalog
from models.weights import describe
from web import schemas
from web.queue_routes import PROBLEM, Queue, ServiceSettings, Weights

router = APIRouter(tags=["health"], responses=PROBLEM)


@router.get("/health")
def health(settings: ServiceSettings) -> schemas.HealthView:
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
def ready(queue: Queue, response: Response) -> schemas.ReadyView:
    """200 when a picture can be processed now."""
    reason = queue.not_ready_because()
    if reason is not None:
        response.status_code = 503
    return schemas.ReadyView(status="ready" if reason is None else "not_ready", reason=reason)


@router.get("/models")
def models(settings: ServiceSettings, weights: Weights) -> schemas.ModelsView:
    """Every model: installed or not, how large, under which licence."""
    default = catalog.find(settings.default_model).name
    described = [model | {"default": model["name"] == default} for model in describe(weights)]
    return schemas.ModelsView(default=default, models=[schemas.ModelView.model_validate(model) for model in described])
