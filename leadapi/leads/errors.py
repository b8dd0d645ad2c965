"""What can go wrong with leads, in business words."""


class EmailTaken(Exception):
    """Another lead has this email address, perhaps in another spelling."""

    def __str__(self) -> str:
        return "Lead with this email already exists."
