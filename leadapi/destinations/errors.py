"""The errors of destinations, in business words."""


class Refused(Exception):
    """Something cannot be done with a destination."""


class DestinationMissing(Refused):
    """There is no destination with this id: it never existed, or was deleted."""

    def __str__(self) -> str:
        return "There is no destination with this id."


class DeliveryMissing(Refused):
    """The destination has no delivery with this id: there never was one, or it was too old to be kept."""

    def __str__(self) -> str:
        return "This destination has no delivery with this id."


class FieldRefused(Refused):
    """A field has the right form, but a value that this destination cannot have.

    :param sentence: what is wrong, without the value, which may be a secret.
    """

    field: str

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.errors = {self.field: [sentence]}

    def __str__(self) -> str:
        return f"This field is not valid: {self.field}."


class UrlRefused(FieldRefused):
    """Nothing can be sent to the URL."""

    field = "url"


class HeadersRefused(FieldRefused):
    """The destination cannot have these headers."""

    field = "headers"


class DestinationDisabled(Refused):
    """Nothing is sent to the destination now."""

    def __str__(self) -> str:
        return "This destination is disabled; enable it first."


class DestinationFixed(Refused):
    """The destination comes from a setting."""

    def __init__(self, setting: str) -> None:
        super().__init__(setting)
        self.setting = setting

    def __str__(self) -> str:
        return f"This destination comes from the setting {self.setting}; change it there."


class SecretMissing(Refused):
    """The destination has no secret that could be rotated."""

    def __str__(self) -> str:
        return "Only a webhook has a secret."


class NotReplayable(Refused):
    """The delivery is due already, or was cancelled."""

    def __str__(self) -> str:
        return "Only a delivery that failed or was delivered can be replayed."
