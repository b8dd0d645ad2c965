"""The list of leads: filtered, page by page, and as a file."""

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from flask import Blueprint, Response, current_app, make_response, request

from leadapi.config import Settings
from leadapi.config_retention import STATUSES
from leadapi.inbox import notices, visits
from leadapi.inbox.reading import filters, place, read_query
from leadapi.inbox.rendering import render
from leadapi.leads import service
from leadapi.leads.fields import LeadCursor
from leadapi.leads.schemas import LeadExportArgsSchema, LeadListArgsSchema
from leadapi.leads.search import normalize
from leadapi.leads.stats.service import count_leads
from leadapi.leads.transfer.downloads import download

# How the list is read, whatever the URL says.
PAGE = {"limit": "50", "offset": "0", "sort": "-id"}
# Wider than any line on a screen.
MAX_LINE_LENGTH = 300
# How much of a line is shown before a word that was searched.
CHARACTERS_BEFORE = 40

blp = Blueprint("leads", __name__)


class ListedLead(NamedTuple):
    """A lead as a line of the list."""

    fields: dict[str, Any]
    # The first line of the message, or the one that has a word of the search.
    line: str
    is_unseen: bool


@blp.get("")
def show_list() -> Response:
    """The newest leads, or an older page of them."""
    args = read_query(LeadListArgsSchema, **PAGE)
    chosen = filters()
    page = service.list_leads(**args)
    found = [orjson.loads(json) for json in page.items]
    visit = visits.look(
        max((lead["id"] for lead in found), default=0), is_first_page=not chosen and "after" not in args
    )
    counts = dict.fromkeys(STATUSES, 0) | dict(count_leads(by="status", zone=ZoneInfo("UTC")).items)
    words = normalize(chosen.get("q", "")).split()
    response = make_response(
        render(
            "leads.html",
            section="leads",
            leads=[
                ListedLead(lead, _line(lead["message"] or "", words), visit is not None and lead["id"] > visit.base)
                for lead in found
            ],
            total=page.total,
            statuses=STATUSES,
            # With other filters, these numbers would be wrong.
            counts=counts if chosen.keys() <= {"status"} else {},
            new=counts["new"],
            chosen=chosen,
            place=place(),
            is_empty=not page.total and not chosen,
            is_first="after" not in args,
            next_page=LeadCursor.encode_position(page.next_after) if page.next_after else None,
            erased=notices.take().get("erased", type=int),
            **(_first_steps() if not page.total and not chosen else {}),
        )
    )
    if visit:
        visit.remember(response)
    return response


@blp.get("/export")
def export() -> Response:
    """The leads that the list shows, as a file for a spreadsheet."""
    args = read_query(LeadExportArgsSchema, sort=PAGE["sort"], format="csv", bom="1")
    return download(**args)


def _line(message: str, words: list[str]) -> str:
    """The first line of the message that has one of the words, from shortly before the word; else the first line."""
    lines = message.strip().splitlines()
    for line in lines if words else []:
        text = normalize(line)
        found = [at for word in words if (at := text.find(word)) >= 0]
        if found:
            # Some characters are several after normalisation. Then the place of the word is unknown.
            start = max(0, min(found) - CHARACTERS_BEFORE) if len(text) == len(line) else 0
            return ("… " if start else "") + line[start : start + MAX_LINE_LENGTH]
    return lines[0][:MAX_LINE_LENGTH] if lines else ""


def _first_steps() -> dict[str, Any]:
    """The address to which to send the first lead, and whether its sender needs a key."""
    settings: Settings = current_app.extensions["settings"]
    base = settings.public_url or request.url_root.rstrip("/")
    return {"url": f"{base}/leads", "needs_key": settings.auth and not settings.public_capture}
