"""Change numbers of jobs, which streams of events follow. Jobs of before have 0: nothing of them is told."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("changed", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_jobs_changed", "jobs", ["changed"])
