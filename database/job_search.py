"""Jobs to which a filter applies, found quickly in a long history, because only a part of it is looked at."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, tuple_

from database.job_store import LISTED, Page
from database.rows import parsed, to_job
from database.tables import jobs
from job import JobFilter

# (created_at, id) of a job: where it stands in a listing.
Place = tuple[str, str]
Found = Select[*tuple[Any, ...]]

# Jobs that one page looks at, for what no index tells. A page that ends there says where the next one goes on.
LOOKED_AT = 20_000
MOST_COUNTED = 10_000
# A text of so many characters is looked up among all ids first: it is hardly there by chance.
ID_CHARACTERS = 8
MOST_IDS = 1000

# Beside escapes, what stands in JSON and in no name. A text without it cannot begin in one name and end in another.
JSON_SYNTAX = frozenset('"[]')

standing = tuple_(jobs.c.created_at, jobs.c.id)


def search(connection: Connection, wanted: JobFilter, limit: int, before: Place | None) -> Page:
    """Jobs newest first. A page may hold fewer than `limit`, even none, and still have a `next`."""
    ids = ids_beginning_with(connection, wanted.text)
    if ids:
        wanted = replace(wanted, text=None)
    among = [jobs.c.id.in_(ids)] if ids else []
    bounded = not ids and needs_rows(wanted)
    beyond = [*among, standing < tuple_(*before)] if before else among
    floor = floor_of(connection, wanted, beyond) if bounded else None
    found = list(islice(places(connection, wanted, [*beyond, *above(floor)]), limit + 1))
    more = found[limit - 1] if len(found) > limit else floor
    lowest = floor_of(connection, wanted, among) if bounded and before else floor
    if before is None and len(found) <= limit:
        total = len(found)
    else:
        total = count(connection, wanted, [*among, *above(lowest)], MOST_COUNTED + 1)
    rows = connection.execute(select(*LISTED).where(jobs.c.id.in_([job_id for _, job_id in found[:limit]])))
    shown = sorted((to_job(row) for row in rows.mappings()), key=lambda job: (job.created_at, job.id), reverse=True)
    return Page(min(total, MOST_COUNTED), shown, more, total_is_exact=total <= MOST_COUNTED and lowest is None)


def needs_rows(wanted: JobFilter) -> bool:
    """Whether there is something that only the rows themselves tell."""
    return any(value is not None for value in (wanted.model, wanted.text, wanted.priority))


def ids_beginning_with(connection: Connection, text: str | None) -> Sequence[str]:
    """Few, or none when the text is too short to be meant so."""
    if text is None or len(text) < ID_CHARACTERS or not text.isascii():
        return []
    return connection.execute(select(jobs.c.id).where(id_begins_with(text)).limit(MOST_IDS)).scalars().all()


def id_begins_with(text: str) -> ColumnElement[bool]:
    """As a range, for which there is an index. The text is ASCII."""
    first = text.lower()
    return and_(jobs.c.id >= first, jobs.c.id < first[:-1] + chr(ord(first[-1]) + 1))


def floor_of(connection: Connection, wanted: JobFilter, also: Sequence[ColumnElement[bool]]) -> Place | None:
    """The last place that may be looked at; None when all may. By the index alone."""
    within = select(jobs.c.created_at, jobs.c.id).where(*in_index(wanted), *also)
    row = connection.execute(newest_first(within).limit(1).offset(LOOKED_AT - 1)).first()
    return None if row is None else (row.created_at, row.id)


def above(floor: Place | None) -> list[ColumnElement[bool]]:
    return [] if floor is None else [standing >= tuple_(*floor)]


def places(connection: Connection, wanted: JobFilter, also: Sequence[ColumnElement[bool]]) -> Iterator[Place]:
    """Of the jobs that are wanted, newest first, read while they are asked for."""
    with closing(connection.execute(newest_first(statement(wanted, also)))) as rows:
        for created_at, job_id, *names in rows:
            if wanted.text is None or is_named(wanted.text, job_id, *names):
                yield created_at, job_id


def count(connection: Connection, wanted: JobFilter, also: Sequence[ColumnElement[bool]], most: int | None) -> int:
    if wanted.text is not None:
        return sum(1 for _ in islice(places(connection, wanted, also), most))
    found = statement(wanted, also).limit(most).subquery()
    counted: int = connection.execute(select(func.count()).select_from(found)).scalar_one()
    return counted


def newest_first(found: Found) -> Found:
    return found.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())


def statement(wanted: JobFilter, also: Sequence[ColumnElement[bool]]) -> Found:
    """With the file names only where they are looked at: without them an index may hold all there is to read."""
    names = [] if wanted.text is None else [jobs.c.filenames]
    return select(jobs.c.created_at, jobs.c.id, *names).where(*in_index(wanted), *in_rows(wanted), *also)


def in_index(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.status is not None:
        conditions.append(jobs.c.status == wanted.status)
    if wanted.since is not None:
        conditions.append(jobs.c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(jobs.c.created_at <= wanted.until)
    return conditions


def in_rows(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.model is not None:
        conditions.append(jobs.c.model == wanted.model)
    if wanted.priority is not None:
        conditions.append(jobs.c.priority == wanted.priority.rank)
    if wanted.text is not None:
        named: ColumnElement[bool] = jobs.c.filenames.ilike(pattern(wanted.text), escape="!")
        conditions.append(or_(named, id_begins_with(wanted.text)) if wanted.text.isascii() else named)
    return conditions


def pattern(text: str) -> str:
    """For LIKE on the JSON of file names, where whatever is not ASCII is written \\uXXXX: of any letter then.

    It finds all that hold the text, and some that do not; `is_named` tells.
    """
    written = re.sub(r"([!%_])", r"!\1", json.dumps(text)[1:-1])
    return "%" + re.sub(r"(\\u)[0-9a-f]{4}", r"\1____", written) + "%"


def is_named(text: str, job_id: str, filenames: str | None) -> bool:
    """Whether a file's name holds the text, or the job's id begins with it, in upper or lower case.

    The database has found the `pattern` of it, or the id: only what JSON writes otherwise has to be read for that.
    """
    if filenames and "\\" not in filenames and JSON_SYNTAX.isdisjoint(text):
        return True
    low = text.lower()
    return job_id.startswith(low) or any(low in str(name).lower() for name in parsed(filenames, []))
