"""The tables of the responses stored for idempotency keys, and of the leads in these responses."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    op.create_table(
        "idempotency_records",
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name="pk_idempotency_records"),
    )
    op.create_index("ix_idempotency_records_expires_at", "idempotency_records", ["expires_at"])
    op.create_index("ix_idempotency_records_lead_id", "idempotency_records", ["lead_id"])
    op.create_table(
        "idempotency_leads",
        sa.Column("lead_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("lead_id", "key_hash", name="pk_idempotency_leads"),
        sa.ForeignKeyConstraint(
            ["key_hash"],
            ["idempotency_records.key_hash"],
            name="fk_idempotency_leads_key_hash_idempotency_records",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_idempotency_leads_key_hash", "idempotency_leads", ["key_hash"])
