"""Counters that move in the same transaction as what they count."""

from collections.abc import Mapping

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from database.tables import counters

JOBS = "jobs."
FILES = "files."


def move(connection: Connection, changes: Mapping[str, int]) -> None:
    """Add to counters by name; those that do not exist start from 0."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    # In one order always, so that two transactions never wait for each other's rows.
    for name, change in sorted(changes.items()):
        if change == 0:
            continue
        moved = connection.execute(
            update(counters).where(counters.c.name == name).values(value=counters.c.value + change)
        )
        if moved.rowcount == 0:
            connection.execute(
                insert(counters)
                .values(name=name, value=change)
                .on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + change})
            )


def read(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(counters.c.name, counters.c.value))
    return {row.name: row.value for row in rows}
