"""The HTTP side of leads."""

from typing import Any

from flask import Response, request
from flask.views import MethodView

from leadapi import logs
from leadapi.api import Blueprint, accepted, next_link
from leadapi.idempotency.once import once
from leadapi.leads import exports, schemas, service
from leadapi.leads.service import LeadPage, ShownLead

blp = Blueprint("leads", __name__, url_prefix="/leads", description="People who asked to be contacted")


@blp.route("")
class LeadsView(MethodView):
    """The collection."""

    @blp.doc(operationId="createLead")
    @blp.requires("capture", public=True)
    @blp.arguments(schemas.NewLeadSchema(), example=schemas.NEW_LEAD)
    @once
    @blp.response(201, schemas.LeadSchema, example=schemas.LEAD, headers={"Location": schemas.LOCATION})
    @blp.refuses(400, 409, 413, 415, 422, 500, 503)
    def post(self, new_lead: dict[str, Any]) -> Response:
        """Capture a lead"""
        return _created(service.create_lead(**new_lead))

    @blp.doc(operationId="listLeads")
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

    @blp.doc(operationId="exportLeads")
    @blp.requires("read")
    @blp.arguments(schemas.LeadExportArgsSchema(), location="query")
    @blp.response(
        200, schemas.FILE, content_type="text/csv", example=schemas.CSV, headers={"Content-Disposition": schemas.NAME}
    )
    @blp.response(200, schemas.FILE, content_type="application/x-ndjson", example=schemas.NDJSON)
    @blp.refuses(406, 422, 500, 503)
    def get(self, args: dict[str, Any]) -> Response:
        """Download all leads that match"""
        return _download(**args)


def _created(lead: ShownLead) -> Response:
    """The lead with the header that says where it is, and its id for the log."""
    logs.note(lead_id=lead.id)
    location = f"{request.script_root}/leads/{lead.id}"
    return Response(lead.json, 201, {"Location": location}, mimetype="application/json")


def _page(page: LeadPage) -> Response:
    """The page with the header that says where the next one is."""
    body = f'{{"total":{page.total},"items":[{",".join(page.items)}]}}'
    return Response(body, 200, next_link(page.next_after), mimetype="application/json")


def _download(*, format: str | None = None, **args: Any) -> Response:  # noqa: A002  # the parameter's public name
    """A file that is written while it is sent."""
    media_type = accepted(exports.MEDIA_TYPES, format)
    extension = exports.MEDIA_TYPES[media_type]
    export = service.export_leads(**args)
    response = Response(
        exports.WRITERS[extension](export.chunks),
        mimetype=media_type,
        headers={"Content-Disposition": f"attachment; filename=leads.{extension}"},
    )
    response.call_on_close(export.close)
    return response
