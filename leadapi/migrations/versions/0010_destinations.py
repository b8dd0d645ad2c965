"""The tables of destinations and deliveries, and the triggers that write deliveries: see delivery_triggers.py."""

import sqlalchemy as sa
from alembic import op

from leadapi.migrations import delivery_triggers

revision = "0010"
down_revision = "0009"

_identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Upgrade the schema; existing data is kept. Events that exist are not sent."""
    op.create_table(
        "destinations",
        sa.Column("id", _identity, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text()),
        sa.Column("description", sa.String(500)),
        sa.Column("headers", sa.Text(), server_default="{}", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.String(20)),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("failing_since", _time),
        sa.Column("secret", sa.Text()),
        sa.Column("previous_secret", sa.Text()),
        sa.Column("previous_secret_until", _time),
        sa.Column("setting", sa.String(40)),
        sa.PrimaryKeyConstraint("id", name="pk_destinations"),
        sa.UniqueConstraint("setting", name="uq_destinations_setting"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", _identity, nullable=False),
        sa.Column("event_id", _identity, nullable=False),
        sa.Column("destination_id", _identity, nullable=False),
        sa.Column("lead_id", _identity, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", _time),
        sa.Column("lease", sa.String(32)),
        sa.Column("last_attempt_at", _time),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.String(20)),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("excerpt", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sqlite_autoincrement=True,
    )
    due = sa.text("state = 'due'")
    op.create_index(
        "ix_deliveries_destination_id_due_at",
        "deliveries",
        ["destination_id", "due_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
    op.create_index("ix_deliveries_destination_id_id", "deliveries", ["destination_id", "id"])
    op.create_index("ix_deliveries_destination_id_last_attempt_at", "deliveries", ["destination_id", "last_attempt_at"])
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"])
    # Whether destinations are told of the event.
    op.add_column("events", sa.Column("announced", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    delivery_triggers.create(op.get_bind())
