"""Which jobs a request means, in the query of a list or in the body of an act."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from errors import UnknownModel
from job import JobFilter, JobStatus, Priority, timestamp
from models import catalog

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def writable(text: str) -> str:
    """Raises ValueError for halves of characters, which no database takes."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it holds half a character (a lone surrogate)")
    return text


def moment(text: str) -> str:
    """As the service itself writes it. Raises ValueError."""
    if not RFC_3339.fullmatch(text):
        raise ValueError("a time is written like 2026-11-22T05:55:55Z")
    try:
        return timestamp(datetime.fromisoformat(text.upper()))
    except OverflowError as error:
        raise ValueError("there is no such time in UTC") from error


Text = Annotated[str, AfterValidator(writable), Field(min_length=1, max_length=255)]
Moment = Annotated[str, AfterValidator(moment), Field(json_schema_extra={"format": "date-time"})]


class Filter(BaseModel):
    """All that is given has to apply."""

    status: JobStatus | None = Field(None, description="Only jobs in this state.")
    model: Text | None = Field(None, description="Only jobs for this model, by name or alias.")
    text: Text | None = Field(None, description="Part of a file's name, or the beginning of a job's id.")
    priority: Priority | None = Field(None, description="Only jobs of this priority.")
    since: Moment | None = Field(None, description="Queued at that time or later.")
    until: Moment | None = Field(None, description="Queued at that time or earlier.")

    def meant(self) -> JobFilter:
        return JobFilter(
            status=self.status,
            model=None if self.model is None else real_name(self.model),
            text=self.text,
            priority=self.priority,
            since=self.since,
            until=self.until,
        )

    def in_words(self) -> str:
        """For the history."""
        said = [f"{name} {value}" for name, value in self.model_dump(mode="json", exclude_none=True).items()]
        return ", ".join(said) or "all"


class ListQuery(Filter):
    """Query of a listing."""

    limit: int = Field(20, ge=1, le=1000)
    cursor: str | None = Field(None, description="`next` of the page before.")


def real_name(model: str) -> str:
    """Aliases are resolved. A model that is not known any more may still have jobs."""
    try:
        return catalog.find(model).name
    except UnknownModel:
        return model
