"""The script that Alembic runs for each command, in the transaction of the caller."""

from alembic import context

from leadapi.storage import Base

connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # Alembic's batch mode creates a new table and copies the rows, because SQLite's ALTER TABLE is limited.
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
