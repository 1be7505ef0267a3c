"""For those who come from remove.bg: its addresses, its parameters, its answers."""

import base64
from collections.abc import Collection, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from errors import InvalidRequest
from job import JobFile, Priority
from operations.params import REFINEMENTS
from queue_manager import QueueManager
from submission import Queued
from web import results
from web.dependencies import WholeService
from web.door import Door, Words
from web.multipart import FileFields
from web.remove_routes import BINARY, TEXT, finished_picture, in_time
from web.taking import take

# Those of its parameters that mean the same here, by our names.
SAME: Mapping[str, str] = {
    "roi": "roi",
    "crop": "crop",
    "crop_margin": "crop_margin",
    "position": "position",
    "add_shadow": "shadow",
    "shadow_opacity": "shadow_opacity",
    "bg_color": "background_color",
}
SIZES: Mapping[str, str] = {
    **dict.fromkeys(("preview", "small", "regular"), "preview"),
    **{name: name for name in ("medium", "hd", "full")},
    **dict.fromkeys(("4k", "50MP", "auto"), "full"),
}
# What is in a picture is not told apart here, and a shadow is a shadow: these change nothing.
TYPES = ("auto", "person", "product", "car", "animal", "graphic", "graphics", "transportation", "other")
CHOICES: Mapping[str, Collection[str]] = {
    "size": SIZES,
    "format": ("auto", "png", "jpg", "webp", "zip"),
    "channels": ("rgba", "alpha"),
    "type": TYPES,
    "type_level": ("none", "1", "2", "latest"),
    "shadow_type": ("auto", "car", "3D", "drop", "none"),
    "shadow_method": ("latest", "legacy"),
    "semitransparency": ("true", "false"),
}
KNOWN = (*CHOICES, *SAME, "scale")
# Nothing is charged, and nothing runs out; some clients look before they send.
CREDITS = 1_000_000


def in_our_words(words: Words) -> dict[str, object]:
    """remove.bg's parameters as ours; an empty one counts as not given, as there. Raises InvalidRequest."""
    given = {name: str(value) for name, value in words.items() if value not in ("", None)}
    if unknown := sorted(given.keys() - set(KNOWN)):
        raise InvalidRequest(f"Unknown parameter: {', '.join(unknown)}. Known are {', '.join(KNOWN)}.", unknown[0])
    for name in given.keys() & CHOICES.keys():
        given[name] = one_of(name, given[name])
    ours: dict[str, object] = {SAME[name]: value for name, value in given.items() if name in SAME}
    # Ignored there, too: a margin without a crop, and how dark a shadow is that nobody asked for.
    for name, switch in REFINEMENTS.items():
        if str(ours.get(switch, "false")).lower() in ("false", "0", "no", "off"):
            ours.pop(name, None)
    if given.get("scale", "original") != "original":
        ours["scale"] = given["scale"].strip().removesuffix("%")
    if given.get("format") == "zip":
        ours["output"] = "layers"
    else:
        ours["output"] = "mask" if given.get("channels") == "alpha" else "cutout"
        ours["format"] = given.get("format", "auto")
    ours["size"] = SIZES[given.get("size", "preview")]
    return ours | {"priority": Priority.HIGH.value, "on_no_subject": "fail"}


def one_of(name: str, value: str) -> str:
    """The choice that is meant, in whatever case."""
    for choice in CHOICES[name]:
        if choice.lower() == value.lower():
            return choice
    raise InvalidRequest(f"{name} is one of {', '.join(CHOICES[name])}, not {value!r}.", name)


DOOR = Door(
    FileFields(("image_file",), {"bg_image_file": "background_image"}, ("image_file_b64",), one_picture=True),
    in_our_words,
    {"image_file_b64": "image_b64", "bg_image_url": "background_image_url"},
)

FIELDS: dict[str, Any] = {
    **dict.fromkeys(("image_url", "image_file_b64", "bg_image_url", *SAME, "scale"), TEXT),
    **{name: TEXT | {"enum": [*choices]} for name, choices in CHOICES.items()},
}
FILES = {"image_file": BINARY, "bg_image_file": BINARY}
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": FILES | FIELDS}},
            "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": FIELDS}},
            "application/json": {"schema": {"type": "object", "properties": FIELDS}},
        },
    }
}
ERRORS: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["errors"],
            "properties": {
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["title", "code", "detail"],
                        "properties": {"title": TEXT, "code": TEXT, "detail": TEXT},
                    },
                }
            },
        }
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    kind: {"description": "What was wrong, as remove.bg tells it.", "content": ERRORS}
    for kind in ("4XX", 500, 503, 507)
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "image/*": {},
            "application/zip": {},
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"data": {"type": "object", "properties": {"result_b64": TEXT}}},
                }
            },
        },
        "description": "The cutout; as base64 when JSON alone is accepted.",
    }
}
router = APIRouter(prefix="/v1.0", tags=["remove.bg"], responses=REFUSALS)


@router.post("/removebg", response_class=Response, responses=ANSWERS, openapi_extra=FORM)
async def removebg(request: Request, service: WholeService) -> Response:
    """As remove.bg's."""
    queued = await take(request, service, DOOR, None)
    await in_time(request, service, queued)
    wants_json = accepts_json_alone(request.headers.get("accept", ""))
    return await run_in_threadpool(answer, service.queue, queued, wants_json)


def accepts_json_alone(accept: str) -> bool:
    """Libraries that name JSON among others, and */* with it, are given the picture, as by remove.bg."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    return kinds == {"application/json"}


def answer(queue: QueueManager, queued: Queued, wants_json: bool) -> Response:
    """Raises FailedPicture."""
    file = finished_picture(queue, queued)
    told = as_json(queue, file) if wants_json else results.whole_picture(queue.storage, file)
    told.headers["X-Job-Id"] = queued.job.id
    told.headers["X-Width"] = f"{file.width}"
    told.headers["X-Height"] = f"{file.height}"
    told.headers["X-Type"] = "other"
    told.headers["X-Credits-Charged"] = "0"
    return told


def as_json(queue: QueueManager, file: JobFile) -> Response:
    data = queue.storage.get(str(file.output_key))
    return JSONResponse({"data": {"result_b64": base64.b64encode(data).decode()}})


@router.get("/account")
async def account() -> dict[str, Any]:
    """As remove.bg's. Nothing is charged here, so there is always plenty."""
    credits = {"total": CREDITS, "subscription": 0, "payg": CREDITS, "enterprise": 0}
    return {"data": {"attributes": {"credits": credits, "api": {"free_calls": CREDITS, "sizes": "all"}}}}
