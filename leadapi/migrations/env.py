"""The script that Alembic runs for each command, in the transaction of the caller."""

import warnings
from typing import Any

from alembic import context

from leadapi.storage import Base

# An index that the models do not have, because it needs an extension of PostgreSQL: see versions/0011_search.py.
OPTIONAL = "ix_lead_search_search_text"

# `flask db check` passes over indexes of expressions on SQLite, because SQLAlchemy cannot read them there.
warnings.filterwarnings("ignore", "(Skipped unsupported|autogenerate skipping).* expression-based index")


def include_name(name: str | None, _type: str, _parents: Any) -> bool:
    """Whether Alembic compares something in the database with the models."""
    return name != OPTIONAL


connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    include_name=include_name,
    # Alembic's batch mode creates a new table and copies the rows, because SQLite's ALTER TABLE is limited.
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
