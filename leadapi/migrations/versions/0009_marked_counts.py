"""Totals of all leads, of each source and of each status, kept up to a mark: see count_triggers.py."""

import sqlalchemy as sa
from alembic import op

from leadapi.migrations import count_triggers

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    connection = op.get_bind()
    # Create the triggers first: on PostgreSQL this locks `leads`, so no lead is inserted during the count.
    count_triggers.create(connection)
    if connection.dialect.name == "postgresql":
        last = "coalesce(pg_sequence_last_value('leads_id_seq'), 0)"
    else:
        last = "(SELECT coalesce(max(id), 0) FROM leads)"
    mark = {"mark": connection.scalar(sa.text(f"SELECT {last}"))}
    op.execute("DELETE FROM lead_counts")
    for counted in (
        "SELECT 'mark', CAST(:mark AS BIGINT)",
        "SELECT '', count(*) FROM leads WHERE id <= :mark",
        "SELECT 'source:' || source, count(*) FROM leads WHERE id <= :mark AND source IS NOT NULL GROUP BY source",
        "SELECT 'status:' || status, count(*) FROM leads WHERE id <= :mark GROUP BY status",
    ):
        connection.execute(sa.text(f"INSERT INTO lead_counts (counted, number) {counted}"), mark)
