"""What can go wrong with what was caught, in business words."""


class StampsOff(Exception):
    """No form needs a time, because none is looked at."""

    def __str__(self) -> str:
        return "Forms need no _ts here: MIN_FILL_SECONDS is 0."


class SuspectMissing(Exception):
    """It was never in the quarantine, or is not there any more."""

    def __str__(self) -> str:
        return "There is nothing with this id in the quarantine."
