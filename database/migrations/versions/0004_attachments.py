"""Pictures that belong to a whole job, such as the background for all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attachments", sa.Text))
