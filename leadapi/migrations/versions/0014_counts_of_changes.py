"""On PostgreSQL, the index of the last changes has the two times that it is computed from.

PostgreSQL reads an index alone only if it has all columns that the statement names. So counting the leads that changed
since a time read the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.drop_index("ix_leads_changed_at_id", "leads")
    op.create_index(
        "ix_leads_changed_at_id",
        "leads",
        [sa.text("coalesce(updated_at, created_at)"), "id"],
        postgresql_include=["updated_at", "created_at"],
    )
