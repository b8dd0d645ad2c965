"""The errors of leads, in business words."""

# The limits of the attributes of one lead; their size is that of the UTF-8 JSON.
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTES_BYTES = 2**14


class EmailTaken(Exception):
    """Another lead has this email address, perhaps in another spelling.

    :param lead_id: the id of that lead, if the caller may know it.
    """

    def __init__(self, lead_id: int | None = None) -> None:
        super().__init__()
        self.lead_id = lead_id

    def __str__(self) -> str:
        return "Lead with this email already exists."


class LeadMissing(Exception):
    """There is no lead with this id: it never existed, or was erased."""

    def __str__(self) -> str:
        return "There is no lead with this id."


class LeadsUnsettled(Exception):
    """Open transactions may still store leads that belong on the page before those that are there."""

    def __str__(self) -> str:
        return "Other leads are being stored on this page; try again in a moment."


class LeadChanged(Exception):
    """The lead is not in the state that the caller expected."""

    def __str__(self) -> str:
        return "The lead is not as If-Match or If-None-Match expects; get it again."


class TooManyAttributes(Exception):
    """With the attributes that are stored already, the lead would exceed a limit."""

    def __init__(self) -> None:
        super().__init__()
        limits = f"{MAX_ATTRIBUTES} attributes, of {MAX_ATTRIBUTES_BYTES // 1024} KiB together"
        self.errors = {"attributes": [f"A lead has at most {limits}."]}

    def __str__(self) -> str:
        return "This field is not valid: attributes."
