"""The page of a lead."""

from flask import Blueprint

from leadapi.inbox.rendering import render
from leadapi.leads import service

blp = Blueprint("lead", __name__, url_prefix="/leads/<id:lead_id>")


@blp.get("")
def show_lead(lead_id: int) -> str:
    """Everything about a lead."""
    return render("lead.html", section="leads", lead=service.show_lead(lead_id).fields)
