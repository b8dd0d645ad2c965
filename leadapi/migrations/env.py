"""What Alembic runs for each of its commands. The transaction belongs to the caller."""

from alembic import context

from leadapi.storage import Base

connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite can hardly change a table; Alembic makes a new one and copies the rows.
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
