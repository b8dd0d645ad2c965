"""No change. Earlier releases replaced trigger functions here, and migration 0009 replaces them again."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Do nothing. The revision remains because existing databases refer to it."""
