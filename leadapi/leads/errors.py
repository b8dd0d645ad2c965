"""What can go wrong with leads, in business words."""


class EmailTaken(Exception):
    """Another lead has this email address, perhaps in another spelling.

    :param lead_id: which one, where it is known and the caller may know it.
    """

    def __init__(self, lead_id: int | None = None) -> None:
        super().__init__()
        self.lead_id = lead_id

    def __str__(self) -> str:
        return "Lead with this email already exists."


class LeadMissing(Exception):
    """There is no lead with this id: there never was, or it was erased."""

    def __str__(self) -> str:
        return "There is no lead with this id."


class LeadChanged(Exception):
    """The lead is not in the state that the caller expected."""

    def __str__(self) -> str:
        return "The lead is not as If-Match or If-None-Match expects; get it again."


class TooManyAttributes(Exception):
    """Together with those it has, the lead would have more attributes than are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = {"attributes": [f"A lead has at most {MAX_ATTRIBUTES} attributes."]}

    def __str__(self) -> str:
        return "This field is not valid: attributes."


# How many attributes a lead has at most, and how many bytes they have as JSON.
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTES_BYTES = 2**14
