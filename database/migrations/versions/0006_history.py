"""What people did to jobs and which attempts failed; how many files ended in each minute."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "history",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE")),
        sa.Column("position", sa.Integer),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("part_of", sa.Integer),
        sqlite_autoincrement=True,
    )
    of_the_queue = sa.text("job_id IS NULL")
    by_people = sa.text("actor IS NOT NULL AND part_of IS NULL")
    op.create_index("ix_history_job", "history", ["job_id", "id"])
    op.create_index("ix_history_acts", "history", ["id"], sqlite_where=by_people, postgresql_where=by_people)
    op.create_index("ix_history_queue", "history", ["at"], sqlite_where=of_the_queue, postgresql_where=of_the_queue)
    op.create_table(
        "minutes",
        sa.Column("at", sa.Text, primary_key=True),
        sa.Column("completed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
    )
