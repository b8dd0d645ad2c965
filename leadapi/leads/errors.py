"""What can go wrong with leads, in business words."""

# How many attributes a lead can have, and how large they can be together, as UTF-8 JSON.
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTES_BYTES = 16 * 1024


class EmailTaken(Exception):
    """Another lead has this email address, perhaps in another spelling.

    :param lead_id: the other lead, where it is known and the caller may know it.
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
