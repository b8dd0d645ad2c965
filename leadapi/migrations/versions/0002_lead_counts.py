"""The table of kept totals, and the indexes of the filters.

Migration 0009 fills the table and creates its triggers. Earlier releases did this here, so databases at a version
before 0009 may have older triggers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    op.create_index("ix_leads_source_id", "leads", ["source", "id"])
    op.create_index("ix_leads_created_at_id", "leads", ["created_at", "id"])
    op.create_table(
        "lead_counts",
        sa.Column("slot", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_lead_counts"),
        # Free space in each page, so that an updated row stays on its page (a HOT update).
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_lead_counts_counted", "lead_counts", ["counted"])
