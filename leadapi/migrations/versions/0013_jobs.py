"""The table of jobs that one process at a time does: the retention, and scrubbing SQLite's file."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_jobs"),
    )
