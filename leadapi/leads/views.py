"""The HTTP side of leads."""

from typing import Any

from flask import request
from flask.views import MethodView
from sqlalchemy.engine import RowMapping

from leadapi import logs
from leadapi.api import Blueprint
from leadapi.leads import schemas, service
from leadapi.leads.service import LeadPage

blp = Blueprint("leads", __name__, url_prefix="/leads", description="People who asked to be contacted")


@blp.route("")
class LeadsView(MethodView):
    """The collection."""

    @blp.doc(operationId="createLead")
    @blp.arguments(schemas.NewLeadSchema, example=schemas.NEW_LEAD)
    @blp.response(201, schemas.LeadSchema, example=schemas.LEAD, headers={"Location": schemas.LOCATION})
    @blp.refuses(400, 409, 413, 415, 422, 500, 503)
    def post(self, new_lead: dict[str, Any]) -> tuple[RowMapping, dict[str, str]]:
        """Capture a lead"""
        return _created(service.create_lead(**new_lead))

    @blp.doc(operationId="listLeads")
    @blp.arguments(schemas.LeadListArgsSchema, location="query")
    @blp.response(200, schemas.LeadPageSchema, example={"total": 1, "items": [schemas.LEAD]})
    @blp.refuses(422, 500, 503)
    def get(self, args: dict[str, int]) -> LeadPage:
        """List leads"""
        return service.list_leads(**args)


def _created(lead: RowMapping) -> tuple[RowMapping, dict[str, str]]:
    """The lead with the header that says where it is, and its id for the log."""
    logs.note(lead_id=lead["id"])
    return lead, {"Location": f"{request.script_root}/leads/{lead['id']}"}
