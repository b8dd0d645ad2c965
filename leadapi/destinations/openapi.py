"""Destinations in the OpenAPI document: examples, response headers and links."""

from typing import Any

from leadapi.leads.service import EXAMPLE as LEAD

NEW_DESTINATION = {
    "kind": "webhook",
    "url": "https://www.example.com/hooks/leads",
    "events": ["lead.created", "lead.repeated"],
    "sources": ["landing-page"],
    "description": "CRM",
    "headers": {"Authorization": "Bearer secret"},
}
DESTINATION: dict[str, Any] = {
    "id": 1,
    **NEW_DESTINATION,
    "headers": ["Authorization"],
    "enabled": True,
    "disabled_reason": None,
    "created_at": LEAD["created_at"],
    "last_delivery": {"state": "delivered", "at": LEAD["created_at"], "status": 204, "error": None},
}
NEW = {**DESTINATION, "last_delivery": None, "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
ROTATED = {**DESTINATION, "secret": NEW["secret"]}
CHANGES = {"sources": None, "headers": {"Authorization": "Bearer another"}, "enabled": True}
DELIVERY: dict[str, Any] = {
    "id": 12,
    "event_id": 7,
    "type": "lead.created",
    "lead_id": 1,
    "state": "delivered",
    "attempts": 1,
    "next_attempt_at": None,
    "last_attempt_at": LEAD["created_at"],
    "status": 204,
    "error": None,
    "duration_ms": 38,
    "excerpt": None,
}
DUE = {"state": "due", "next_attempt_at": LEAD["created_at"]}
REPLAYED = {**DELIVERY, **DUE}
TEST = {
    **DELIVERY,
    **DUE,
    "type": "lead.test",
    "lead_id": None,
    "attempts": 0,
    "last_attempt_at": None,
    "status": None,
    "duration_ms": None,
}
SINCE = {"since": LEAD["created_at"]}
LOCATION = {
    "description": "Where the destination is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/destinations/1",
}

# The operations that take the id of a destination, and those that take that of a delivery, for tools that follow links.
_DESTINATION_ID = {"destination_id": "$response.body#/id"}
LINKS = {
    name: {"operationId": name, "parameters": _DESTINATION_ID}
    for name in (
        "showDestination",
        "changeDestination",
        "deleteDestination",
        "rotateSecret",
        "testDestination",
        "listDeliveries",
        "replayDeliveries",
    )
}
DELIVERY_LINKS = {
    "replayDelivery": {
        "operationId": "replayDelivery",
        "parameters": {"destination_id": "$request.path.destination_id", "delivery_id": "$response.body#/id"},
    }
}
