"""Status, attributes and time of the last update of a lead, and the table of events."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Existing leads get the same event that an insert records for new leads.
CREATED = {
    "sqlite": """
        INSERT INTO events (lead_id, type, created_at, data)
        SELECT id, 'lead.created', created_at, json_object(
            'id', id, 'full_name', full_name, 'email', email, 'company', company, 'message', message,
            'source', source, 'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', created_at), 'status', status,
            'attributes', json(attributes), 'updated_at', strftime('%Y-%m-%dT%H:%M:%SZ', created_at)
        ) FROM leads ORDER BY id
    """,
    "postgresql": """
        INSERT INTO events (lead_id, type, created_at, data)
        SELECT id, 'lead.created', created_at, json_build_object(
            'id', id, 'full_name', full_name, 'email', email, 'company', company, 'message', message,
            'source', source, 'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'status', status, 'attributes', attributes::json,
            'updated_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        ) FROM leads ORDER BY id
    """,
}


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    # Constant defaults: no row is rewritten, and an older version of the service can still insert leads.
    op.add_column("leads", sa.Column("status", sa.String(20), nullable=False, server_default="new"))
    op.add_column("leads", sa.Column("attributes", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("leads", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_leads_status_id", "leads", ["status", "id"])
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "events",
        sa.Column("id", identity, nullable=False),
        sa.Column("lead_id", identity, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(40), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_lead_id_id", "events", ["lead_id", "id"])
    op.get_bind().exec_driver_sql(CREATED[op.get_bind().dialect.name])
