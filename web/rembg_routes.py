"""For those who come from rembg's own server (`rembg s`): its address, its parameters, its answer."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError

from errors import InvalidRequest
from job import Priority
from web.dependencies import NO_ROOM, PROBLEM, WholeService
from web.door import Door, Words
from web.multipart import FileFields
from web.remove_routes import BINARY, FAILED, TEXT, cut_out

# What each of its parameters is called here, and what it means.
NAMES = {
    "model": "model",
    "a": "alpha_matting",
    "af": "alpha_matting_foreground_threshold",
    "ab": "alpha_matting_background_threshold",
    "ae": "alpha_matting_erode_size",
    "om": "output",
    "ppm": "post_process_mask",
    "dc": "decontaminate",
    "vm": "vitmatte",
    "bgc": "background_color",
}
MEANING = {
    "url": "Address of the picture.",
    "model": "A name from /models; the service's default model when left out.",
    "a": "Alpha matting.",
    "af": "Its foreground threshold, 0 to 255.",
    "ab": "Its background threshold, 0 to 255.",
    "ae": "Its erode size in pixels.",
    "om": "Only the mask.",
    "ppm": "Post-process the mask.",
    "dc": "Take the old background's colour out of soft edges.",
    "vm": "ViTMatte, where its weights are installed; it takes af, ab and ae.",
    "bgc": "Background colour as r,g,b,a.",
    "extras": "JSON. Of its keys, sam_prompt is known.",
}
BOOLEAN = TypeAdapter(bool)
EXTRAS = TypeAdapter(dict[str, Any])


def in_our_words(words: Words) -> dict[str, object]:
    """rembg's parameters as ours; an empty one counts as not given, as there. Raises InvalidRequest."""
    words = {name: value for name, value in words.items() if value not in ("", None)}
    if unknown := sorted(words.keys() - MEANING.keys()):
        raise InvalidRequest(f"Unknown parameter: {', '.join(unknown)}. Known are {', '.join(MEANING)}.", unknown[0])
    ours: dict[str, object] = {NAMES[name]: value for name, value in words.items() if name in NAMES}
    if "om" in words:
        ours["output"] = "mask" if truth("om", words["om"]) else "cutout"
    return {"format": "png", "priority": Priority.HIGH.value, **ours, **from_extras(str(words.get("extras", "{}")))}


def truth(name: str, text: object) -> bool:
    try:
        return BOOLEAN.validate_python(text)
    except ValidationError:
        raise InvalidRequest(f"{name}: true or false is wanted, not {text!r}.", name) from None


def from_extras(text: str) -> dict[str, object]:
    try:
        extras = EXTRAS.validate_json(text)
    except ValidationError:
        raise InvalidRequest('extras: a JSON object is wanted, such as {"sam_prompt": [...]}.', "extras") from None
    if others := sorted(extras.keys() - {"sam_prompt"}):
        raise InvalidRequest(f"extras: only sam_prompt is known, not {', '.join(others)}.", "extras")
    return {name: json.dumps(value) for name, value in extras.items()}


DOOR = Door(FileFields(("file",), {}, one_picture=True), in_our_words, {"url": "image_url"})


def parameter(name: str) -> dict[str, Any]:
    required = name == "url"
    return {"name": name, "in": "query", "required": required, "description": MEANING[name], "schema": TEXT}


FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": BINARY,
                        **{name: TEXT | {"description": meaning} for name, meaning in MEANING.items() if name != "url"},
                    },
                }
            }
        },
    },
    "parameters": [parameter("bgc")],
}

router = APIRouter(prefix="/api", tags=["rembg"], responses=PROBLEM | NO_ROOM | FAILED)
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The cutout."}}


@router.get(
    "/remove",
    response_class=Response,
    responses=PNG,
    openapi_extra={"parameters": [parameter(name) for name in MEANING]},
)
async def remove_from_address(request: Request, service: WholeService) -> Response:
    """As `GET /api/remove` of `rembg s`."""
    if not request.query_params.get("url"):
        raise InvalidRequest("url: the address of the picture is wanted.", "url")
    return await cut_out(request, service, DOOR)


@router.post("/remove", response_class=Response, responses=PNG, openapi_extra=FORM)
async def remove_from_stream(request: Request, service: WholeService) -> Response:
    """As `POST /api/remove` of `rembg s`."""
    return await cut_out(request, service, DOOR)
