"""Nothing: this migration once replaced trigger functions, which migration 0009 replaces again."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Keep the schema as it is; databases have this version's number."""
