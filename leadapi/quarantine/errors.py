"""Errors of the quarantine and the spam traps, independent of HTTP."""


class StampsOff(Exception):
    """The fill-time trap is off, so forms need no stamp."""

    def __str__(self) -> str:
        return "Forms need no _ts here: MIN_FILL_SECONDS is 0."


class QuarantinedLeadMissing(Exception):
    """The item was never in the quarantine, or was released or purged."""

    def __str__(self) -> str:
        return "There is nothing with this id in the quarantine."
