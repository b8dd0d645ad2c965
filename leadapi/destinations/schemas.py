"""Destinations and deliveries on the wire: what is accepted and what is shown."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from leadapi.destinations import kinds, models, service
from leadapi.web.fields import (
    MAX_ID,
    BodySchema,
    Boolean,
    Choice,
    Instant,
    Line,
    PageArgsSchema,
    ShownSchema,
)

STATES = [models.DUE, models.DELIVERED, models.FAILED, models.CANCELLED]
MAX_SOURCES = 100
MAX_URL_LENGTH = 2000


class Kind(Choice):
    """A kind of destination."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("DestinationKind", "How a destination is reached.", list(service.KINDS), **kwargs)


class EventName(Choice):
    """Types of events that a destination can ask for."""

    def __init__(self, **kwargs: Any) -> None:
        about = "A type of events; `lead.*` for all."
        super().__init__("DestinationEvent", about, list(service.EVENTS), **kwargs)


class State(Choice):
    """The state of a delivery."""

    def __init__(self, **kwargs: Any) -> None:
        about = "`due`: waits for its next attempt. `failed`: all attempts failed. `cancelled`: its lead was erased."
        super().__init__("DeliveryState", about, STATES, **kwargs)


class AttemptError(Choice):
    """How an attempt failed."""

    def __init__(self) -> None:
        about = "How the last attempt failed; null after a success, and before the first attempt."
        super().__init__("DeliveryError", about, list(kinds.ERRORS), required=True, allow_none=True)


class Headers(fields.Field[Any]):
    """Headers of a webhook: a flat object of strings.

    :param removable: whether a null stays as None, to remove the header.
    """

    # RFC 9110, 5.1 and 5.5, in ASCII. Those that HTTP, the format of webhooks and the body need are not the user's.
    longest = 2000
    reserved = (
        "host",
        "connection",
        "expect",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-.*",
        "webhook-.*",
    )
    named = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
    refused = re.compile("|".join(reserved), re.IGNORECASE)
    valued = re.compile(r"[!-~]([\t -~]*[!-~])?")
    default_error_messages = {
        "invalid": "Must be an object.",
        "many": f"Has more than {service.MAX_HEADERS} headers.",
        "name": "This is not the name of a header.",
        "reserved": "The service sets this header itself.",
        "value": f"Must be a string of 1 to {longest} printable ASCII characters, without spaces around it.",
    }

    def __init__(self, *, removable: bool = False, **kwargs: Any) -> None:
        self.removable = removable
        # One change can remove as many as there can be, and add as many.
        self.most = service.MAX_HEADERS * (2 if removable else 1)
        # JSON Schema has no flags.
        reserved = "|".join(map(_in_any_case, self.reserved))
        self.json_schema = {
            "type": ["object", "null"],
            "maxProperties": self.most,
            "propertyNames": {"pattern": f"^{self.named.pattern}$", "not": {"pattern": f"^({reserved})$"}},
            "additionalProperties": {
                "type": ["string", "null"] if removable else "string",
                "maxLength": self.longest,
                "pattern": f"^{self.valued.pattern}$",
            },
        }
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, str | None]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if len(value) > self.most:
            raise self.make_error("many")
        wrong = {name: fault for name, text in value.items() if (fault := self._fault(name, text))}
        if wrong:
            raise ValidationError({name: [self.error_messages[fault]] for name, fault in wrong.items()})
        return value

    def _fault(self, name: str, text: Any) -> str | None:
        if not self.named.fullmatch(name):
            return "name"
        if self.refused.fullmatch(name):
            return "reserved"
        if text is None and self.removable:
            return None
        is_valid = isinstance(text, str) and len(text) <= self.longest and self.valued.fullmatch(text)
        return None if is_valid else "value"


def _in_any_case(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in name)


def _events(**kwargs: Any) -> fields.Field[Any]:
    return fields.List(EventName(), validate=validate.Length(1, len(service.EVENTS)), **kwargs)


def _sources() -> fields.Field[Any]:
    return fields.List(
        Line(100),
        allow_none=True,
        validate=validate.Length(1, MAX_SOURCES),
        metadata={"description": "Only events of leads from these sources; null for all."},
    )


class NewDestinationSchema(BodySchema):
    """Where events are to be sent."""

    kind = Kind(required=True)
    url = Line(
        MAX_URL_LENGTH,
        required=True,
        metadata={"description": "A webhook's `https://…`; `mailto:` and addresses; an Apprise URL of a chat."},
    )
    events = _events(load_default=list(service.DEFAULT_EVENTS))
    sources = _sources()
    description = Line(500, allow_none=True)
    headers = Headers(metadata={"description": "Sent with each request of a webhook. Their values are never shown."})
    enabled = Boolean(load_default=True)


class DestinationChangesSchema(BodySchema):
    """Changes of a destination. A field that is absent stays; null clears it (RFC 7396)."""

    media_types = ("application/json", "application/merge-patch+json")

    url = Line(MAX_URL_LENGTH)
    events = _events()
    sources = _sources()
    description = Line(500, allow_none=True)
    headers = Headers(
        removable=True,
        metadata={"description": "Merged into those that the webhook has. Null removes one, or all of them."},
    )
    enabled = Boolean()


class LastDeliverySchema(ShownSchema):
    """The outcome of the last attempt to send something to a destination."""

    state = State(required=True)
    at = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    status = fields.Integer(required=True, allow_none=True, metadata={"description": "The HTTP or SMTP status."})
    error = AttemptError()


class DestinationSchema(ShownSchema):
    """Where events are sent."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    kind = Kind(required=True)
    url = fields.String(required=True, metadata={"description": "Of a chat, without its secrets."})
    events = fields.List(EventName(), required=True)
    sources = fields.List(fields.String(), required=True, allow_none=True, metadata={"description": "Null for all."})
    description = fields.String(required=True, allow_none=True)
    headers = fields.List(
        fields.String(), required=True, metadata={"description": "The names of a webhook's own headers."}
    )
    enabled = fields.Boolean(required=True)
    disabled_reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(list(kinds.REASONS)),
        metadata={"description": "Why the service disabled it; null where it did not."},
    )
    created_at = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    last_delivery = fields.Nested(
        LastDeliverySchema, required=True, allow_none=True, metadata={"description": "Null before the first attempt."}
    )


class DestinationWithSecretSchema(DestinationSchema):
    """A destination; of a webhook also its new signing secret, which is never shown again."""

    secret = fields.String(validate=validate.Regexp("^whsec_[A-Za-z0-9+/]{43}=$"))


class DestinationPageSchema(ShownSchema):
    """Some of the destinations."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many there are in all."}
    )
    items = fields.List(fields.Nested(DestinationSchema), required=True)


class DeliverySchema(ShownSchema):
    """An event that is sent to a destination."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    event_id = fields.Integer(
        required=True,
        validate=validate.Range(1, MAX_ID),
        metadata={"description": "Of a webhook, `webhook-id` is `evt_` and this."},
    )
    type = fields.String(required=True, metadata={"description": "The type of the event."})
    lead_id = fields.Integer(required=True, allow_none=True, metadata={"description": "Null for `lead.test`."})
    state = State(required=True)
    attempts = fields.Integer(required=True, validate=validate.Range(min=0))
    next_attempt_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "UTC. Null unless it is due."}
    )
    last_attempt_at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": "UTC."})
    status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The HTTP or SMTP status of the last attempt."}
    )
    error = AttemptError()
    duration_ms = fields.Integer(
        required=True, allow_none=True, metadata={"description": "How long the last attempt took."}
    )
    excerpt = fields.String(
        required=True, allow_none=True, metadata={"description": "The beginning of the last answer, at most 1 KiB."}
    )


class DeliveryPageSchema(ShownSchema):
    """Some of the deliveries of a destination."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many match in all."}
    )
    items = fields.List(fields.Nested(DeliverySchema), required=True)


class DeliveryListArgsSchema(PageArgsSchema):
    """Filters, order and page of deliveries."""

    state = State(metadata={"description": "Those in this state."})


class NewReplaySchema(BodySchema):
    """Which deliveries to send again."""

    since = Instant(required=True, metadata={"description": "Those whose last attempt failed at this time or later."})


class ReplaySchema(ShownSchema):
    """How many deliveries are sent again."""

    replayed = fields.Integer(required=True, validate=validate.Range(min=0))
