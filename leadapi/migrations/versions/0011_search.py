"""The texts in which leads are searched, and indexes for lists by last change and by source and status."""

import json
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0011"
down_revision = "0010"

BATCH = 1000
READ = sa.text(
    "SELECT id, full_name, email, company, message, attributes FROM leads WHERE id > :last ORDER BY id LIMIT :batch"
)
WRITE = sa.text("INSERT INTO lead_search (lead_id, search_text) VALUES (:lead_id, :search_text)")
INDEX = "CREATE INDEX ix_lead_search_search_text ON lead_search USING gin (search_text gin_trgm_ops)"


def upgrade() -> None:
    """Upgrade the schema; existing data is kept."""
    connection = op.get_bind()
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    # On PostgreSQL, the reference keeps others from writing leads until this transaction ends, so that none is missed.
    op.create_table(
        "lead_search",
        sa.Column("lead_id", identity, autoincrement=False, nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_lead_search_lead_id_leads", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("lead_id", name="pk_lead_search"),
    )
    last = -(2**63)
    while rows := connection.execute(READ, {"last": last, "batch": BATCH}).all():
        connection.execute(WRITE, [{"lead_id": row.id, "search_text": search_text(row)} for row in rows])
        last = rows[-1].id
    op.create_index("ix_leads_changed_at_id", "leads", [sa.text("coalesce(updated_at, created_at)"), "id"])
    op.create_index("ix_leads_source_id_status", "leads", ["source", "id", "status"])
    op.drop_index("ix_leads_source_id", "leads")
    if connection.dialect.name == "postgresql":
        try:
            with connection.begin_nested():
                connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
                connection.execute(sa.text(INDEX))
        except DBAPIError:
            # The server does not have the extension, or this user may not create it. Searches then read all texts.
            pass


def search_text(row: sa.Row) -> str:
    """The text as leads/search.py makes it at the time of this migration."""
    attributes = json.loads(row.attributes)
    texts = [row.full_name, row.email, row.company, row.message, *attributes.values()]
    decomposed = unicodedata.normalize("NFKD", "\n".join(filter(None, texts)).replace("\0", "\n"))
    return "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn").casefold()
