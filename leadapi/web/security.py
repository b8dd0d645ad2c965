"""What an operation requires of its callers: read by the guard, and by the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Requirement(NamedTuple):
    """The scope that a caller needs, or None where anybody may call."""

    scope: str | None
    # Whether a caller without a key passes while PUBLIC_CAPTURE=on.
    public: bool = False


OPEN = Requirement(None)
# The blueprints of the documentation. It holds no leads and is the same for every caller.
OPEN_BLUEPRINTS = ("docs", "api-docs")
# The blueprints that find out by themselves who is calling.
SESSION_BLUEPRINTS = ("inbox",)


def requirement_of(marks: Mapping[str, Any]) -> Requirement:
    """The requirement among an operation's marks. Operations without one need `admin` (fail closed)."""
    requirement: Requirement = marks.get("requires", Requirement("admin"))
    return requirement
