"""Results that can be taken again for the same work."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("job_files", sa.Column("reuse_key", sa.Text))
    op.add_column("job_files", sa.Column("cached", sa.Integer, nullable=False, server_default="0"))
    with_result = sa.text("status = 'completed' AND reuse_key IS NOT NULL")
    op.create_index(
        "ix_job_files_reusable",
        "job_files",
        ["reuse_key"],
        sqlite_where=with_result,
        postgresql_where=with_result,
    )
