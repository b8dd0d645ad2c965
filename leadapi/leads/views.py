"""The HTTP side of leads."""

from typing import Any, cast

import orjson
from flask import Response, request
from flask.views import MethodView
from marshmallow import ValidationError

from leadapi import errors, logs
from leadapi.events.schemas import EVENT, EventListArgsSchema, EventPageSchema
from leadapi.events.service import EventPage
from leadapi.idempotency.once import once
from leadapi.keys.callers import actor, may
from leadapi.leads import captures, schemas, service
from leadapi.leads.captures import Capture
from leadapi.leads.representations import ShownLead
from leadapi.leads.service import LeadPage
from leadapi.leads.transfer import exports
from leadapi.quarantine import traps
from leadapi.web import downloads, forms
from leadapi.web.api import Blueprint, accepted, next_link
from leadapi.web.conditions import ETAG, IF_MATCH, IF_NONE_MATCH, Expected, tagged
from leadapi.web.fields import NoArgsSchema
from leadapi.web.parsing import InvalidFields, flat
from leadapi.web.preferences import APPLIED, PREFER, applied, resolution
from leadapi.web.problems import HTML

blp = Blueprint("leads", __name__, url_prefix="/leads", description="People who asked to be contacted")


@blp.route("")
class LeadsView(MethodView):
    """The collection."""

    @blp.doc(
        operationId="createLead",
        description="An address that is taken is refused with 409, unless `Prefer` says what to do. An HTML form gets a"
        " page, or is sent to one, and its repeat is merged.",
    )
    @blp.requires("capture", public=True)
    @blp.arguments(schemas.NewLeadSchema(), example=schemas.NEW_LEAD)
    @once
    @blp.takes(PREFER)
    @blp.response(201, schemas.LeadSchema, example=schemas.LEAD, headers={"Location": schemas.LOCATION, "ETag": ETAG})
    @blp.response(
        200,
        schemas.LeadSchema,
        example=schemas.LEAD,
        headers={"ETag": ETAG | {"required": False}, "Preference-Applied": APPLIED},
    )
    @blp.response(
        200,
        HTML["schema"],
        content_type="text/html",
        # Of all that is said of one status, flask-smorest keeps the description that comes last here.
        description="A repeat, treated as preferred; for people who sent a form, a page",
        example=HTML["example"],
    )
    @blp.alt_response(303, description="The page that a form asks for", headers={"Location": schemas.NEXT_PAGE})
    @blp.leads_to(201, schemas.LINKS)
    @blp.leads_to(200, schemas.LINKS)
    @blp.refuses(400, 409, 413, 415, 422, 500, 503)
    def post(self, new_lead: dict[str, Any]) -> Response:
        """Capture a lead"""
        return _captured(new_lead, forms.resolution() or resolution())

    @blp.doc(
        operationId="listLeads",
        description="Follow `Link` until there is none: nothing is missed and nothing comes twice, also while leads"
        " arrive.",
    )
    @blp.requires("read")
    @blp.arguments(schemas.LeadListArgsSchema(), location="query")
    @blp.response(
        200, schemas.LeadPageSchema, example={"total": 1, "items": [schemas.LEAD]}, headers={"Link": schemas.NEXT}
    )
    @blp.refuses(422, 500, 503)
    def get(self, args: dict[str, Any]) -> Response:
        """List leads"""
        return _page(service.list_leads(**args))


@blp.route("/export")
class LeadExportView(MethodView):
    """The collection as a file."""

    @blp.doc(
        operationId="exportLeads",
        description="As they are at one moment. NDJSON is without loss; in CSV, a cell that a spreadsheet would run as"
        " a formula has a `'` before it.",
    )
    @blp.requires("read")
    @blp.arguments(schemas.LeadExportArgsSchema(), location="query")
    @blp.response(
        200, schemas.FILE, content_type="text/csv", example=schemas.CSV, headers={"Content-Disposition": schemas.NAME}
    )
    @blp.response(200, schemas.FILE, content_type="application/x-ndjson", example=schemas.NDJSON)
    @blp.refuses(406, 422, 500, 503)
    @downloads.bounded
    def get(self, args: dict[str, Any]) -> Response:
        """Download all leads that match"""
        return _download(**args)


@blp.route("/batch")
class LeadBatchView(MethodView):
    """Many of the leads at once."""

    @blp.doc(
        operationId="createLeads",
        description="Each is answered as if it had come alone, and those that are valid are stored though others are"
        " not.",
    )
    @blp.requires("capture")
    @blp.arguments(schemas.NewLeadBatchSchema(), example={"items": [schemas.NEW_LEAD]})
    @once
    @blp.takes(PREFER)
    @blp.response(
        200, schemas.LeadVerdictsSchema, example={"items": schemas.VERDICTS}, headers={"Preference-Applied": APPLIED}
    )
    @blp.refuses(400, 413, 415, 422, 500, 503)
    def post(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Capture many leads"""
        return _all_captured(batch["items"], resolution())


@blp.route("/<id:lead_id>")
class LeadView(MethodView):
    """One of the leads."""

    @blp.doc(operationId="showLead")
    @blp.requires("read")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.takes(IF_NONE_MATCH, IF_MATCH)
    @blp.response(200, schemas.LeadSchema, example=schemas.LEAD, headers={"ETag": ETAG})
    @blp.alt_response(304, headers={"ETag": ETAG}, description="The client has it as it is.")
    @blp.refuses(404, 412, 422, 500, 503)
    def get(self, args: dict[str, Any], lead_id: int) -> Response:
        """Show a lead"""
        return _shown(service.show_lead(lead_id, expected=Expected()))

    @blp.doc(operationId="changeLead")
    @blp.requires("write")
    @blp.arguments(schemas.LeadChangesSchema(), example=schemas.CHANGES)
    @blp.takes(IF_MATCH)
    @blp.response(200, schemas.LeadSchema, example=schemas.LEAD, headers={"ETag": ETAG})
    @blp.refuses(400, 404, 409, 412, 413, 415, 422, 500, 503)
    def patch(self, changes: dict[str, Any], lead_id: int) -> Response:
        """Change a lead"""
        return _shown(service.change_lead(lead_id, changes, expected=Expected(), actor=actor(), tell_which=may("read")))

    @blp.doc(
        operationId="eraseLead",
        description="The person's data is taken out of every table. The history keeps that the lead was erased, and"
        " when.",
    )
    @blp.requires("write")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.takes(IF_MATCH)
    @blp.response(204, description="The person's data is gone.")
    @blp.refuses(404, 412, 422, 500, 503)
    def delete(self, args: dict[str, Any], lead_id: int) -> Response:
        """Erase a lead"""
        return _erase(lead_id)


@blp.route("/<id:lead_id>/events")
class LeadEventsView(MethodView):
    """What happened to one of the leads."""

    @blp.doc(operationId="listLeadEvents")
    @blp.requires("read")
    @blp.arguments(EventListArgsSchema(), location="query")
    @blp.response(200, EventPageSchema, example={"total": 1, "items": [EVENT]}, headers={"Link": schemas.NEXT})
    @blp.refuses(404, 422, 500, 503)
    def get(self, args: dict[str, Any], lead_id: int) -> tuple[dict[str, Any], dict[str, str]]:
        """List what happened to a lead"""
        return _history(service.list_events(lead_id, **args))


def _captured(new_lead: dict[str, Any], wish: str | None) -> Response:
    """The lead with the header that says where it is or why it is not new, and its id for the log."""
    capture = captures.capture_lead(
        new_lead,
        resolution=wish,
        actor=actor(),
        may_read=may("read"),
        never_refuse=forms.is_form(),
        caught=traps.spring(new_lead),
    )
    lead = cast("ShownLead", capture.lead)
    logs.note(**({"quarantine_id": lead.id} if capture.caught else {"lead_id": lead.id}))
    headers = {"Location": f"{request.script_root}/leads/{lead.id}"} if capture.created else applied(wish)
    return tagged(lead.json, lead.tag, status=201 if capture.created else 200, headers=headers)


def _all_captured(items: list[Any], wish: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The verdict on each item, and for the log, how many were stored."""
    valid = [item for item in items if not isinstance(item, ValidationError)]
    captured = captures.capture_leads(
        valid,
        resolution=wish,
        actor=actor(),
        may_read=may("read"),
        caught=[traps.spring(item) for item in valid],
    )
    logs.note(items=len(items), stored=sum(capture.created and not capture.caught for capture in captured))
    rest = iter(captured)
    verdicts = [_invalid(item) if isinstance(item, ValidationError) else _verdict(next(rest)) for item in items]
    return {"items": verdicts}, applied(wish)


def _verdict(capture: Capture) -> dict[str, Any]:
    """What became of an item, with the status it would have got alone."""
    return (
        {"status": 201 if capture.created else 200, "lead": orjson.Fragment(capture.lead.json)}
        if capture.lead
        else errors.verdict(cast("Exception", capture.refusal))
    )


def _invalid(error: ValidationError) -> dict[str, Any]:
    """What is wrong with an item."""
    invalid = InvalidFields(flat(cast("dict[str, Any]", error.messages)))
    return {"status": 422, "detail": invalid.description, "errors": invalid.errors}


def _shown(lead: ShownLead) -> Response:
    """The lead with its tag."""
    return tagged(lead.json, lead.tag)


def _erase(lead_id: int) -> Response:
    """An answer without a body, once it is done."""
    service.erase_lead(lead_id, expected=Expected(), actor=actor())
    return Response(status=204)


def _history(page: EventPage) -> tuple[dict[str, Any], dict[str, str]]:
    """The page with the header that says where the next one is."""
    return {"total": page.total, "items": page.items}, next_link(page.next_after)


def _page(page: LeadPage) -> Response:
    """The page with the header that says where the next one is."""
    body = f'{{"total":{page.total},"items":[{",".join(page.items)}]}}'
    return Response(body, 200, next_link(page.next_after), mimetype="application/json")


def _download(*, format: str | None = None, **args: Any) -> Response:  # noqa: A002  # the parameter's public name
    """A file that is written while it is sent."""
    media_type = accepted(exports.MEDIA_TYPES, format)
    extension = exports.MEDIA_TYPES[media_type]
    export = service.export_leads(file_format=extension, **args)
    response = Response(
        exports.WRITERS[extension](export.chunks),
        mimetype=media_type,
        headers={"Content-Disposition": f"attachment; filename=leads.{extension}"},
    )
    response.call_on_close(export.close)
    return response
