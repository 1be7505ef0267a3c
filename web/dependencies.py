"""What routes are given: the queue, the settings, the weights; and the shape of every error."""

from typing import Annotated, Any

from fastapi import Depends, Request

from models.weights import WeightStore
from queue_manager import QueueManager
from settings import Settings
from web import schemas
from web.sources import FetchSlots

SHAPE = schemas.ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
# What it refers to is among the document's components already.
AS_PROBLEM = {"application/problem+json": {"schema": {key: SHAPE[key] for key in SHAPE if key != "$defs"}}}
PROBLEM: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was wrong, as a problem (RFC 9457).", "content": AS_PROBLEM},
    503: {"description": "Not at the moment; Retry-After says when to ask again.", "content": AS_PROBLEM},
}
NO_ROOM: dict[int | str, dict[str, Any]] = {
    507: {"description": "The disk is nearly full; Retry-After says when to ask again.", "content": AS_PROBLEM}
}


# All of these are async, because FastAPI hands plain functions to a thread, which costs a hundred times what they do.


async def queue_of(request: Request) -> QueueManager:
    queue: QueueManager = request.app.state.queue
    return queue


async def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def weights_of(request: Request) -> WeightStore:
    weights: WeightStore = request.app.state.weights
    return weights


async def fetching_of(request: Request) -> FetchSlots:
    fetching: FetchSlots = request.app.state.fetching
    return fetching


Queue = Annotated[QueueManager, Depends(queue_of)]
ServiceSettings = Annotated[Settings, Depends(settings_of)]
Weights = Annotated[WeightStore, Depends(weights_of)]
Fetching = Annotated[FetchSlots, Depends(fetching_of)]
