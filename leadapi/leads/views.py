"""The HTTP side of leads."""

from collections import Counter
from typing import Any, cast

import orjson
from flask import Response
from flask.views import MethodView
from marshmallow import ValidationError

from leadapi import logs
from leadapi.events.schemas import EventListArgsSchema
from leadapi.idempotency.decorator import idempotent
from leadapi.keys.guard import caller
from leadapi.leads import captures, notes, openapi, schemas, service
from leadapi.leads.captures import MERGE, Capture, NewLead
from leadapi.leads.errors import EmailTaken
from leadapi.leads.event_schemas import LeadEventPageSchema, LeadNotedEventSchema
from leadapi.leads.fields import LeadCursor
from leadapi.leads.representations import ShownLead
from leadapi.leads.service import LeadPage
from leadapi.leads.transfer.downloads import download
from leadapi.quarantine import traps
from leadapi.storage import Transaction
from leadapi.web import forms, problems
from leadapi.web.api import Blueprint, next_link
from leadapi.web.fields import NoArgsSchema
from leadapi.web.headers import public_url
from leadapi.web.negotiation import (
    APPLIED,
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    PREFER,
    applied,
    condition_holds,
    entity_tag,
    resolution,
    tagged,
)
from leadapi.web.openapi import NEXT
from leadapi.web.parsing import InvalidFields, flat

blp = Blueprint("leads", __name__, url_prefix="/leads", description="People who asked to be contacted")


@blp.route("")
class LeadsView(MethodView):
    """The collection."""

    @blp.doc(
        operationId="createLead",
        description="An address that is taken is refused with 409, unless `Prefer` says what to do.",
    )
    @blp.requires("capture", public=True)
    @blp.arguments(schemas.NewLeadSchema(), example=openapi.NEW_LEAD)
    @idempotent
    @blp.takes(PREFER)
    @blp.response(201, schemas.LeadSchema, example=openapi.LEAD, headers={"Location": openapi.LOCATION, "ETag": ETAG})
    @blp.response(
        200,
        schemas.LeadSchema,
        description="A repeat, treated as preferred",
        example=openapi.LEAD,
        headers={"ETag": ETAG | {"required": False}, "Preference-Applied": APPLIED},
    )
    @blp.leads_to(201, openapi.LINKS)
    @blp.leads_to(200, openapi.LINKS)
    @blp.refuses(400, 409, 411, 413, 415, 422, 500, 503)
    def post(self, new_lead: dict[str, Any], within: Transaction | None = None) -> Response:
        """Capture a lead"""
        return _captured(new_lead, within)

    @blp.doc(
        operationId="listLeads",
        description="Follow `Link` until it is absent: no lead is missed or repeated, also while leads arrive.",
    )
    @blp.requires("read")
    @blp.arguments(schemas.LeadListArgsSchema(), location="query")
    @blp.response(200, schemas.LeadPageSchema, example={"total": 1, "items": [openapi.LEAD]}, headers={"Link": NEXT})
    @blp.refuses(422, 500, 503)
    def get(self, args: dict[str, Any]) -> Response:
        """List leads"""
        return _page(service.list_leads(**args))


@blp.route("/export")
class LeadExportView(MethodView):
    """The collection as a file."""

    @blp.doc(
        operationId="exportLeads",
        description="From one snapshot. NDJSON is lossless; in CSV, a cell that a spreadsheet would run as a formula"
        " begins with a `'`.",
    )
    @blp.requires("read")
    @blp.arguments(schemas.LeadExportArgsSchema(), location="query")
    @blp.response(
        200, openapi.FILE, content_type="text/csv", example=openapi.CSV, headers={"Content-Disposition": openapi.NAME}
    )
    @blp.response(200, openapi.FILE, content_type="application/x-ndjson", example=openapi.NDJSON)
    @blp.refuses(406, 422, 500, 503)
    def get(self, args: dict[str, Any]) -> Response:
        """Download all leads that match"""
        return download(**args)


@blp.route("/batch")
class LeadBatchView(MethodView):
    """Many of the leads at once."""

    @blp.doc(
        operationId="createLeads",
        description="Each is answered as on its own: one that is not valid keeps no other from being stored.",
    )
    @blp.requires("capture")
    @blp.arguments(schemas.NewLeadBatchSchema(), example={"items": [openapi.NEW_LEAD]})
    @idempotent
    @blp.takes(PREFER)
    @blp.response(
        200, schemas.LeadVerdictsSchema, example={"items": openapi.VERDICTS}, headers={"Preference-Applied": APPLIED}
    )
    @blp.refuses(400, 411, 413, 415, 422, 500, 503)
    def post(self, batch: dict[str, Any], within: Transaction | None = None) -> tuple[dict[str, Any], dict[str, str]]:
        """Capture many leads"""
        return _all_captured(batch["items"], within)


@blp.route("/<id:lead_id>")
class LeadView(MethodView):
    """One of the leads."""

    @blp.doc(operationId="showLead")
    @blp.requires("read")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.takes(IF_NONE_MATCH, IF_MATCH)
    @blp.response(200, schemas.LeadSchema, example=openapi.LEAD, headers={"ETag": ETAG})
    @blp.alt_response(304, headers={"ETag": ETAG}, description="The client has the current state.")
    @blp.refuses(404, 412, 422, 500, 503)
    def get(self, args: dict[str, Any], lead_id: int) -> Response:
        """Show a lead"""
        return tagged(service.show_lead(lead_id, condition=condition_holds).json)

    @blp.doc(operationId="changeLead", description="Also as `application/merge-patch+json`.")
    @blp.requires("write")
    @blp.arguments(schemas.LeadChangesSchema(), example=openapi.CHANGES)
    @blp.takes(IF_MATCH)
    @blp.response(200, schemas.LeadSchema, example=openapi.LEAD, headers={"ETag": ETAG})
    @blp.alt_response(204, headers={"ETag": ETAG}, description="Changed, for a caller without the scope `read`.")
    @blp.refuses(400, 404, 409, 411, 412, 413, 415, 422, 500, 503)
    def patch(self, changes: dict[str, Any], lead_id: int) -> Response:
        """Change a lead"""
        return _changed(service.change_lead(lead_id, changes, by=caller(), condition=condition_holds))

    @blp.doc(
        operationId="eraseLead",
        description="Deletes the person's data from every table. The history keeps that the lead was erased, and when.",
    )
    @blp.requires("write")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.takes(IF_MATCH)
    @blp.response(204, description="The person's data is gone.")
    @blp.refuses(404, 412, 422, 500, 503)
    def delete(self, args: dict[str, Any], lead_id: int) -> Response:
        """Erase a lead"""
        service.erase_lead(lead_id, by=caller(), condition=condition_holds)
        return Response(status=204)


@blp.route("/<id:lead_id>/events")
class LeadEventsView(MethodView):
    """What happened to one of the leads."""

    @blp.doc(operationId="listLeadEvents")
    @blp.requires("read")
    @blp.arguments(EventListArgsSchema(), location="query")
    @blp.response(200, LeadEventPageSchema, example={"total": 1, "items": [openapi.EVENT]}, headers={"Link": NEXT})
    @blp.refuses(404, 422, 500, 503)
    def get(self, args: dict[str, Any], lead_id: int) -> tuple[dict[str, Any], dict[str, str]]:
        """List what happened to a lead"""
        page = service.list_events(lead_id, **args)
        return {"total": page.total, "items": page.items}, next_link(page.next_after)


@blp.route("/<id:lead_id>/notes")
class LeadNotesView(MethodView):
    """The notes about one of the leads."""

    @blp.doc(operationId="addLeadNote", description="An event in the lead's history. The lead itself stays as it is.")
    @blp.requires("write")
    @blp.arguments(schemas.NewNoteSchema(), example=openapi.NOTE)
    @blp.response(201, LeadNotedEventSchema, example=openapi.NOTED)
    @blp.refuses(400, 404, 411, 413, 415, 422, 500, 503)
    def post(self, note: dict[str, Any], lead_id: int) -> dict[str, Any]:
        """Note something about a lead"""
        return notes.add_note(lead_id, note["text"], by=caller())


def _captured(sent: dict[str, Any], within: Transaction | None) -> Response:
    """The lead, with the header that says where it is or how a repeat was treated."""
    by = caller()
    on_repeat = MERGE if by.is_visitor else resolution()
    fields, reason = traps.check(sent, by)
    new_lead = NewLead(fields, reason, forms.left_out() if by.is_visitor else {})
    (capture,) = captures.capture([new_lead], by=by, on_repeat=on_repeat, within=within)
    logs.note(**{_outcome(capture, on_repeat): 1})
    if capture.refusal:
        raise capture.refusal
    lead = cast("ShownLead", capture.lead)
    logs.note(**({"quarantine_id": lead.id} if capture.caught else {"lead_id": lead.id}))
    if capture.created:
        response = tagged(lead.json, status=201)
        response.headers["Location"] = public_url(f"/leads/{lead.id}")
        return response
    response = tagged(lead.json, headers=applied(on_repeat))
    if not by.may("read"):
        # The caller sees what it sent, which is not the stored state.
        del response.headers["ETag"]
    return response


def _all_captured(items: list[Any], within: Transaction | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The verdict on each item."""
    by, on_repeat = caller(), resolution()
    new_leads = [NewLead(*traps.check(item, by)) for item in items if not isinstance(item, ValidationError)]
    outcomes = captures.capture(new_leads, by=by, on_repeat=on_repeat, within=within)
    counts = Counter(_outcome(capture, on_repeat) for capture in outcomes)
    counts["invalid"] += len(items) - len(outcomes)
    logs.note(**({"items": len(items), "stored": 0} | +counts))
    rest = iter(outcomes)
    verdicts = [_invalid(item) if isinstance(item, ValidationError) else _verdict(next(rest)) for item in items]
    return {"items": verdicts}, applied(on_repeat)


def _outcome(capture: Capture, on_repeat: str | None) -> str:
    """The outcome for a new lead, as a word for the log and the metrics."""
    if capture.refusal:
        return "duplicate" if isinstance(capture.refusal, EmailTaken) else "invalid"
    if capture.caught:
        return "quarantined"
    if capture.created:
        return "stored"
    return "merged" if on_repeat == MERGE else "ignored"


def _verdict(capture: Capture) -> dict[str, Any]:
    """The outcome for an item, with the status that a request with this item alone would get."""
    if capture.refusal:
        return problems.verdict(capture.refusal)
    lead = cast("ShownLead", capture.lead)
    return {"status": 201 if capture.created else 200, "lead": orjson.Fragment(lead.json)}


def _invalid(error: ValidationError) -> dict[str, Any]:
    """What is wrong with an item."""
    invalid = InvalidFields(flat(cast("dict[str, Any]", error.messages)))
    return {"status": 422, "detail": invalid.description, "errors": invalid.errors}


def _changed(lead: ShownLead) -> Response:
    """The lead with its tag; the tag alone for a caller who may not read leads."""
    if caller().may("read"):
        return tagged(lead.json)
    return Response(status=204, headers={"ETag": f'"{entity_tag(lead.json)}"'})


def _page(page: LeadPage) -> Response:
    """The page with the header that says where the next one is."""
    body = f'{{"total":{page.total},"items":[{",".join(page.items)}]}}'
    link = next_link(page.next_after and LeadCursor.encode_position(page.next_after))
    return Response(body, 200, link, mimetype="application/json")
