"""The page of a lead: what is known, what happened, and the forms that change it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, request
from werkzeug.wrappers import Response

from leadapi.config_retention import STATUSES
from leadapi.destinations import service as destinations
from leadapi.inbox import notices, timeline
from leadapi.inbox.access import require
from leadapi.inbox.reading import place, read_form
from leadapi.inbox.rendering import go_to, render, texts
from leadapi.inbox.schemas import EraseFormSchema, LeadFormSchema
from leadapi.inbox.timeline import Entry, History
from leadapi.keys.guard import caller
from leadapi.leads import notes, service
from leadapi.leads.errors import LeadChanged, LeadMissing
from leadapi.web.negotiation import entity_tag
from leadapi.web.parsing import InvalidFields

DELIVERIES = 20

blp = Blueprint("lead", __name__, url_prefix="/leads/<id:lead_id>")

Page = tuple[str, int]


@blp.get("")
def show_lead(lead_id: int) -> str | Page:
    """Everything about a lead."""
    try:
        return _page(lead_id, saved=notices.take().get("saved", ""))
    except LeadMissing:
        # Its history tells whether it was erased.
        (erased,) = timeline.read_history(lead_id, most=1).entries
        return render("erased.html", section="leads", entry=erased), HTTPStatus.NOT_FOUND


@blp.post("")
def change_lead(lead_id: int) -> Response | Page:
    """Change the status, add a note, or both."""
    require("write")
    typed = request.form.get("note", "")
    try:
        form = read_form(LeadFormSchema)
    except InvalidFields as exc:
        # The page of the lead can tell about the note. The rest of the form is not typed.
        if exc.errors.keys() != {"note"}:
            raise
        return _page(lead_id, note=typed, is_note_wrong=True), HTTPStatus.UNPROCESSABLE_ENTITY
    saved = []
    if "status" in form:
        try:
            service.change_lead(
                lead_id, {"status": form["status"]}, by=caller(), condition=_is_tagged(form["if_match"])
            )
        except LeadChanged:
            return _page(lead_id, note=typed, seen=form["seen"]), HTTPStatus.PRECONDITION_FAILED
        saved.append("status")
    if "note" in form:
        notes.add_note(lead_id, form["note"], by=caller())
        saved.append("note")
    return notices.leave(go_to("inbox.lead.show_lead", lead_id=lead_id, **place()), saved="-".join(saved))


@blp.get("/erase")
def ask_to_erase(lead_id: int) -> str:
    """The question before the erasure."""
    require("write")
    return _question(lead_id)


@blp.post("/erase")
def erase_lead(lead_id: int) -> Response | Page:
    """Erase the lead."""
    require("write")
    try:
        form = read_form(EraseFormSchema)
    except InvalidFields:
        return _question(lead_id, is_unconfirmed=True), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        # A repeat or a note is in the history only: it does not change the tag.
        if timeline.read_history(lead_id, most=1).last_id > form["seen"]:
            raise LeadChanged
        service.erase_lead(lead_id, by=caller(), condition=_is_tagged(form["if_match"]))
    except LeadChanged:
        return _question(lead_id, seen=form["seen"]), HTTPStatus.PRECONDITION_FAILED
    return notices.leave(go_to("inbox.leads.show_list", **place()), erased=lead_id)


def _page(lead_id: int, *, seen: int | None = None, saved: str = "", **values: Any) -> str:
    """The page.

    :param seen: the last event that the sender of a refused form has seen; None if none was refused.
    :param saved: what the last form has saved.
    """
    found = service.show_lead(lead_id)
    lead = found.fields
    shows_all = request.args.get("history") == "all"
    history = timeline.read_history(lead_id, most=timeline.MOST if shows_all else timeline.SHOWN)
    return render(
        "lead.html",
        section="leads",
        lead=lead,
        tag=entity_tag(found.json),
        place=place(),
        statuses=STATUSES,
        history=history,
        meanwhile=None if seen is None else history.since(seen),
        moved=_last_move(history) if "status" in saved.split("-") else None,
        noted="note" in saved.split("-"),
        deliveries=destinations.list_deliveries_of_lead(lead_id, limit=DELIVERIES),
        mail=_mail(lead),
        **values,
    )


def _question(lead_id: int, *, seen: int | None = None, is_unconfirmed: bool = False) -> str:
    found = service.show_lead(lead_id)
    history = timeline.read_history(lead_id)
    return render(
        "erase.html",
        section="leads",
        lead=found.fields,
        tag=entity_tag(found.json),
        place=place(),
        history=history,
        meanwhile=None if seen is None else history.since(seen),
        is_unconfirmed=is_unconfirmed,
    )


def _is_tagged(tag: str) -> Callable[[str], bool]:
    """The condition that the lead is as it was when the form was shown."""
    return lambda json: entity_tag(json) == tag


def _last_move(history: History) -> Entry | None:
    """The last change of the status, if it is the caller's."""
    moves = (entry for entry in history.entries if entry.status)
    last = next(moves, None)
    return last if last and last.actor == caller().key_id else None


def _mail(lead: dict[str, Any]) -> str:
    """The URL of a mail to the lead, with a subject and a greeting."""
    words = texts().mail
    name = " ".join(lead["full_name"].split())
    parts = {"subject": words.subject, "body": words.greeting.format(name=name).replace("\n", "\r\n")}
    # Mail programs take a plus for itself (RFC 6068).
    return f"mailto:{quote(lead['email'], safe='@')}?{urlencode(parts, quote_via=quote)}"
