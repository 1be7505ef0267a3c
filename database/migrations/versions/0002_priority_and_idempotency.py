"""Priority of files, idempotency keys, and since when an ended job is kept."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("jobs", "job_files"):
        op.add_column(table, sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    pending = sa.text("status = 'pending'")
    op.drop_index("ix_job_files_pending", "job_files")
    op.create_index(
        "ix_job_files_pending",
        "job_files",
        ["priority", "id"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text),
        sa.Column("job_id", sa.Text),
    )
    op.create_index("ix_idempotency_keys_expires", "idempotency_keys", ["expires_at"])
    note_since_when_jobs_are_kept()
    op.create_index("ix_expired_jobs_expired", "expired_jobs", ["expired_at"])


def note_since_when_jobs_are_kept() -> None:
    op.add_column("jobs", sa.Column("kept_since", sa.Text))
    op.drop_index("ix_jobs_completed", "jobs")
    op.create_index("ix_jobs_kept", "jobs", ["kept_since"])
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE jobs SET kept_since = completed_at"))
    # Only jobs of the earlier service have no files. They may have ended long ago, and stay for one more period.
    connection.execute(
        sa.text(
            "UPDATE jobs SET kept_since = :now WHERE completed_at IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM job_files WHERE job_files.job_id = jobs.id)"
        ),
        {"now": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
    )
