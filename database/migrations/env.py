"""Alembic's entry: run in the transaction that database/migrate.py opened."""

from alembic import context

from database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
