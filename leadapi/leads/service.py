"""What can be done with leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from leadapi.database import begin_write, db, violated
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken
from leadapi.leads.models import Lead

_leads = Lead.metadata.tables["leads"]
# What clients see of a lead, in the order they see it.
_shown = [_leads.c[name] for name in ("id", "full_name", "email", "company", "message", "source", "created_at")]

# Built once, because building and compiling a statement costs more than running it.
_insert = insert(_leads).returning(*_shown)
_count = select(func.count()).select_from(_leads)
_page = select(*_shown).order_by(_leads.c.id).limit(bindparam("limit")).offset(bindparam("offset"))


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads, and how many there are in all."""

    total: int
    items: Sequence[RowMapping]


def create_lead(
    *,
    full_name: str,
    email: str,
    company: str | None = None,
    message: str | None = None,
    source: str | None = None,
) -> RowMapping:
    """Store a new lead and return it.

    :param email: an address as `emails.normalize_email` returns it.
    :raises EmailTaken: a lead with this address exists, perhaps in another spelling.
    """
    values = {
        "full_name": full_name,
        "email": email,
        "email_key": email_key(email),
        "company": company,
        "message": message,
        "source": source,
        # To the second, which is what is shown: a time that was read can be compared with one stored.
        "created_at": datetime.now(UTC).replace(microsecond=0),
    }
    begin_write()
    try:
        lead = db.session.execute(_insert, values).mappings().one()
    except IntegrityError as exc:
        db.session.rollback()
        # The database decides, so two requests at once cannot both win. But it may have
        # refused for another reason: only name the one that is really there.
        if violated(exc) == "uq_leads_email_key":
            raise EmailTaken from exc
        raise
    db.session.commit()
    return lead


def list_leads(*, limit: int, offset: int) -> LeadPage:
    """The leads by id, oldest first, from the one after the first `offset`, `limit` at most."""
    total = db.session.execute(_count).scalar_one()
    items = db.session.execute(_page, {"limit": limit, "offset": offset}).mappings().all()
    return LeadPage(total, items)
