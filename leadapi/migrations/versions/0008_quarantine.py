"""The table of quarantined leads."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("lead", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_created_at", "quarantine", ["created_at"])
    op.create_index("ix_quarantine_email_key", "quarantine", ["email_key"])
