"""First schema; adopts the `jobs` table of the earlier service.

The definitions are written out, not imported from database/tables.py: a migration describes its own moment.
"""

import re
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

OLD_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)?$")
LOST = (
    "This job was queued by an earlier version of the service, which did not keep its pictures. "
    "Please submit them again."
)


def upgrade() -> None:
    if sa.inspect(op.get_bind()).has_table("jobs"):
        adopt_jobs()
    else:
        create_jobs()
    op.create_index("ix_jobs_created", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_status_created", "jobs", ["status", "created_at", "id"])
    op.create_index("ix_jobs_completed", "jobs", ["completed_at"])
    create_job_files()
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "switches", sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("heartbeat_at", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("active_files", sa.Integer, nullable=False),
        sa.Column("max_concurrent", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "expired_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("expired_at", sa.Text, nullable=False),
    )
    count_jobs()


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("completed_at", sa.Text),
        sa.Column("job_type", sa.Text, nullable=False),
        sa.Column("filenames", sa.Text),
        sa.Column("total_files", sa.Integer),
        sa.Column("processed_files", sa.Integer, server_default="0"),
        sa.Column("failed_files", sa.Integer, server_default="0"),
        sa.Column("model", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("results", sa.Text),
        sa.Column("metadata", sa.Text),
        sa.Column("operation", sa.Text, nullable=False, server_default="remove_background"),
    )


def create_job_files() -> None:
    op.create_table(
        "job_files",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lost_leases", sa.Integer, nullable=False, server_default="0"),
        sa.Column("available_at", sa.Text, nullable=False),
        sa.Column("lease_token", sa.Text),
        sa.Column("lease_expires_at", sa.Text),
        sa.Column("worker_id", sa.Text),
        sa.Column("input_key", sa.Text, nullable=False),
        sa.Column("input_bytes", sa.Integer, nullable=False),
        sa.Column("input_sha256", sa.Text, nullable=False),
        sa.Column("input_format", sa.Text, nullable=False),
        sa.Column("output_key", sa.Text),
        sa.Column("output_bytes", sa.Integer),
        sa.Column("output_sha256", sa.Text),
        sa.Column("content_type", sa.Text),
        sa.Column("extension", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("seconds", sa.Float),
        sa.Column("started_at", sa.Text),
        sa.Column("completed_at", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("notes", sa.Text),
        sa.UniqueConstraint("job_id", "position", name="uq_job_files_position"),
        sqlite_autoincrement=True,
    )
    pending, processing = sa.text("status = 'pending'"), sa.text("status = 'processing'")
    op.create_index("ix_job_files_pending", "job_files", ["id"], sqlite_where=pending, postgresql_where=pending)
    op.create_index(
        "ix_job_files_leased",
        "job_files",
        ["lease_expires_at"],
        sqlite_where=processing,
        postgresql_where=processing,
    )


def adopt_jobs() -> None:
    op.add_column("jobs", sa.Column("operation", sa.Text, nullable=False, server_default="remove_background"))
    connection = op.get_bind()
    columns = ("created_at", "started_at", "completed_at")
    rows = connection.execute(sa.text(f"SELECT id, {', '.join(columns)} FROM jobs")).mappings().all()
    for row in rows:
        connection.execute(
            sa.text(f"UPDATE jobs SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE id = :id"),
            {"id": row["id"], **{name: with_zone(row[name]) for name in columns}},
        )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # Retention goes by the end of a job; some were ended without a time.
    connection.execute(
        sa.text(
            "UPDATE jobs SET completed_at = :now "
            "WHERE completed_at IS NULL AND status IN ('completed', 'failed', 'cancelled')"
        ),
        {"now": now},
    )
    connection.execute(
        sa.text(
            "UPDATE jobs SET status = 'failed', completed_at = :now, error_message = :reason, "
            "failed_files = total_files - processed_files WHERE status IN ('pending', 'processing')"
        ),
        {"now": now, "reason": LOST},
    )


def with_zone(moment: str | None) -> str | None:
    """Times were written in UTC without saying so, with six digits or none."""
    match = OLD_TIME.match(moment) if moment else None
    if match is None:
        return moment
    date, clock, fraction = match.groups()
    return f"{date}T{clock}.{(fraction or '').ljust(6, '0')}Z"


def count_jobs() -> None:
    op.get_bind().execute(
        sa.text("INSERT INTO counters (name, value) SELECT 'jobs.' || status, COUNT(*) FROM jobs GROUP BY status")
    )
