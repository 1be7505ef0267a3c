"""Bring a database to the schema of this code at start, whichever process comes first."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from database.engine import Database
from errors import DatabaseTooNew

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
MIGRATIONS = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """The schema's revision, or None for an empty database and for one of the earlier service."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(database: Database) -> None:
    """Run what is missing, in one transaction. Raises DatabaseTooNew for a schema that this code does not know."""
    with database.read() as connection:
        if current_revision(connection) == HEAD:
            return
    with database.write() as connection:
        if not database.is_sqlite:
            # SQLite's write transaction is the lock; elsewhere an advisory one keeps starters in line.
            connection.execute(text("SELECT pg_advisory_xact_lock(727173)"))
        revision = current_revision(connection)
        if revision != HEAD:
            run_migrations(connection, revision)


def configuration(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def run_migrations(connection: Connection, revision: str | None) -> None:
    # Imported here: only a start that has something to migrate pays for alembic.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = configuration(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            f"The database has schema {revision}, which this version does not know (it knows up to {HEAD}). "
            "It was written by a newer version of the service: install that version, or use another data directory."
        )
    command.upgrade(config, "head")
