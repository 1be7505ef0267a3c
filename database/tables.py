"""The tables. `jobs` keeps the columns that clients of the earlier service read; times are `job.timestamp` text."""

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

metadata = MetaData()

# Written into the SQL, not bound: SQLite uses a partial index only when it sees the literal.
IS_PENDING: ColumnElement[str] = literal_column("'pending'")
IS_PROCESSING: ColumnElement[str] = literal_column("'processing'")
IS_COMPLETED: ColumnElement[str] = literal_column("'completed'")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("completed_at", Text),
    Column("job_type", Text, nullable=False),
    Column("filenames", Text),
    Column("total_files", Integer),
    Column("processed_files", Integer, server_default="0"),
    Column("failed_files", Integer, server_default="0"),
    Column("model", Text),
    Column("error_message", Text),
    Column("results", Text),
    Column("metadata", Text),
    Column("operation", Text, nullable=False, server_default="remove_background"),
    # Since when retention counts: the end of the job, or its adoption from the earlier service.
    Column("kept_since", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    # JSON: the keys of blobs that belong to all files of the job.
    Column("attachments", Text),
    # Number of the latest change that clients can see (changes.py): streams of events read jobs in this order.
    Column("changed", Integer, nullable=False, server_default="0"),
    Index("ix_jobs_created", "created_at", "id"),
    Index("ix_jobs_status_created", "status", "created_at", "id"),
    Index("ix_jobs_kept", "kept_since"),
    Index("ix_jobs_changed", "changed"),
)

job_files = Table(
    "job_files",
    metadata,
    # The id rises with every submit, so it is the order of the queue.
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("filename", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Claims that ended because the worker's machine died: no fault of the picture, but not endless either.
    Column("lost_leases", Integer, nullable=False, server_default="0"),
    Column("available_at", Text, nullable=False),
    Column("lease_token", Text),
    Column("lease_expires_at", Text),
    Column("worker_id", Text),
    Column("input_key", Text, nullable=False),
    Column("input_bytes", Integer, nullable=False),
    Column("input_sha256", Text, nullable=False),
    Column("input_format", Text, nullable=False),
    Column("output_key", Text),
    Column("output_bytes", Integer),
    Column("output_sha256", Text),
    Column("content_type", Text),
    Column("extension", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("seconds", Float),
    Column("started_at", Text),
    Column("completed_at", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("notes", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    # Equal for files whose results are equal; none where an earlier result is not wanted.
    Column("reuse_key", Text),
    Column("cached", Integer, nullable=False, server_default="0"),
    UniqueConstraint("job_id", "position", name="uq_job_files_position"),
    # Partial: an index on `status` alone would be picked for the claim and make it 500 times slower.
    Index(
        "ix_job_files_pending",
        "priority",
        "id",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_job_files_leased",
        "lease_expires_at",
        sqlite_where=text("status = 'processing'"),
        postgresql_where=text("status = 'processing'"),
    ),
    Index(
        "ix_job_files_reusable",
        "reuse_key",
        sqlite_where=text("status = 'completed' AND reuse_key IS NOT NULL"),
        postgresql_where=text("status = 'completed' AND reuse_key IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

# Moved by the same transactions that move jobs and files, because counting a million rows takes half a second.
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False, server_default="0"),
)

# Switches that every process on this queue obeys.
switches = Table(
    "switches",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("heartbeat_at", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("active_files", Integer, nullable=False),
    Column("max_concurrent", Integer, nullable=False),
    Column("state", Text, nullable=False),
)

# Jobs that went with retention, so that a late client hears "expired" and not "unknown".
expired_jobs = Table(
    "expired_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("expired_at", Text, nullable=False),
    Index("ix_expired_jobs_expired", "expired_at"),
)

# What a client may send again. Without a job it is a reservation: that request is still being stored.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("fingerprint", Text),
    Column("job_id", Text),
    Index("ix_idempotency_keys_expires", "expires_at"),
)
