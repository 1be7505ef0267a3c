"""What a submit says beside its files: about the job itself, and what is to be done to its pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors import InvalidRequest, SeveralBackgrounds
from job import Priority
from models import catalog
from models.catalog import Model
from operations.params import Params, TwoBackgrounds

# Parts of a submit that are files of their own; in the parameters of the operation stands their SHA-256.
ATTACHMENTS = ("background_image",)


class JobOptions(BaseModel):
    """How a job is queued, whatever is done to its pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_invalid: Literal["reject", "skip"] = Field(
        "reject", description="reject: one bad file refuses all. skip: take the good ones."
    )
    priority: Priority = Field(Priority.NORMAL, description="High before normal before low.")
    cache: Literal["on", "off"] = Field(
        "on", description="on: a kept result of the same picture and parameters is taken again."
    )


@dataclass(frozen=True)
class Parameters:
    """Both, checked; `operation` holds what differs from the defaults."""

    options: JobOptions
    model: Model
    refiner: Model | None
    operation: Mapping[str, object]


# How many wrong names an answer repeats.
MOST_TOLD = 10
KNOWN = (*(name for name in Params.model_fields if name not in ATTACHMENTS), *JobOptions.model_fields)


def parameters_of(given: Mapping[str, object], attachments: Mapping[str, str], default_model: str) -> Parameters:
    """From whatever door; `attachments` are the SHA-256 of those that came.

    Raises InvalidRequest, which names what is wrong or unknown, and UnknownModel.
    """
    if files := sorted(set(given) & set(ATTACHMENTS)):
        raise InvalidRequest(
            f"{files[0]} is a file: send it as a part with a file name, its address as {files[0]}_url, or in JSON as "
            f"{files[0]}_b64.",
            files[0],
        )
    if unknown := sorted(set(given) - set(KNOWN)):
        meant = get_close_matches(unknown[0], KNOWN, n=1)
        hint = f" Did you mean {meant[0]}?" if meant else ""
        raise InvalidRequest(
            f"Unknown parameter: {', '.join(unknown[:MOST_TOLD])}.{hint} Known are {', '.join(KNOWN)}.", unknown[0]
        )
    own = {name: value for name, value in given.items() if name in JobOptions.model_fields}
    others = {name: value for name, value in given.items() if name not in own}
    try:
        options = JobOptions.model_validate(own)
        asked = Params.model_validate({"model": default_model, **others, **attachments})
    except ValidationError as error:
        raise refused(error) from error
    model = catalog.find(asked.model)
    # With the compression as earlier versions wrote it, so that their results and idempotency keys still match.
    said = asked.model_dump(mode="json", exclude_defaults=True) | {"png_compression": asked.png_compression}
    return Parameters(options, model, asked.refiner, said | {"model": model.name})


def refused(error: ValidationError) -> InvalidRequest:
    first = error.errors()[0]
    message = f"The request is not valid: {in_words(error)}."
    if isinstance(first.get("ctx", {}).get("error"), TwoBackgrounds):
        return SeveralBackgrounds(message)
    return InvalidRequest(message, str(first["loc"][0]) if first["loc"] else None)


def in_words(error: ValidationError) -> str:
    faults = []
    for fault in error.errors():
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(": ".join([*(str(place) for place in fault["loc"]), message]))
    return "; ".join(faults)


def documented() -> list[dict[str, Any]]:
    """The same for the OpenAPI document, as query parameters."""
    found = []
    for shape in (Params, JobOptions):
        schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, field in schema["properties"].items():
            if name in KNOWN:
                found.append(query_parameter(name, field, schema.get("$defs", {})))
    return found


def query_parameter(name: str, field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    shape = {key: value for key, value in field.items() if key not in ("title", "description")}
    if "$ref" in shape:
        shape = {**definitions[shape.pop("$ref").rpartition("/")[2]], **shape}
    return {"name": name, "in": "query", "required": False, "description": field["description"], "schema": shape}
