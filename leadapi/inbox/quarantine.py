"""The quarantine: what the spam traps caught and why. An entry is let in or thrown away."""

from flask import Blueprint, request
from werkzeug.wrappers import Response

from leadapi.inbox import notices
from leadapi.inbox.access import require
from leadapi.inbox.reading import read_form, read_query
from leadapi.inbox.rendering import go_to, render
from leadapi.inbox.schemas import CaughtQuerySchema, DiscardFormSchema
from leadapi.leads import captures
from leadapi.quarantine import service
from leadapi.quarantine.errors import QuarantinedLeadMissing
from leadapi.web.fields import Cursor

PAGE = 20

blp = Blueprint("quarantine", __name__, url_prefix="/quarantine")


@blp.get("")
def show_list() -> str:
    """The caught entries, newest first."""
    notice = notices.take()
    page = service.list_caught(limit=PAGE, **read_query(CaughtQuerySchema))
    return render(
        "quarantine.html",
        section="quarantine",
        page=page,
        days=service.KEPT.days,
        after=request.args.get("after"),
        next_page=Cursor.encode(page.next_after) if page.next_after else None,
        **{name: notice.get(name, type=int) for name in ("added", "discarded", "merged", "missing")},
    )


@blp.post("/<id:item_id>/release")
def release(item_id: int) -> Response:
    """Let an entry in as a lead."""
    require("write")
    try:
        outcome = captures.release(item_id)
    except QuarantinedLeadMissing:
        return _back(missing=1)
    lead_id = outcome.lead.id if outcome.lead else 0
    return _back(**({"added": lead_id} if outcome.created else {"merged": lead_id}))


@blp.post("/discard")
def discard() -> Response:
    """Throw entries away."""
    require("write")
    number = service.discard(read_form(DiscardFormSchema)["ids"])
    return _back(**({"discarded": number} if number else {"missing": 1}))


def _back(**notice: int) -> Response:
    """The redirect to the page of the list that the form was on."""
    return notices.leave(go_to("inbox.quarantine.show_list", after=request.args.get("after")), **notice)
