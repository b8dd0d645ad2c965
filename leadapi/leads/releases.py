"""Lets in what was caught and was no program's work after all."""

from leadapi.idempotency import service as idempotency
from leadapi.leads import captures
from leadapi.leads.captures import MERGE, Capture
from leadapi.quarantine import service as quarantine
from leadapi.storage.database import db, one_transaction


def release_lead(suspect_id: int) -> Capture:
    """Take something out of the quarantine and capture it as a form: what has its address is merged with it.

    A new lead gets a new id, though another one was answered: who follows the list is past that one.

    :raises leadapi.quarantine.errors.SuspectMissing: it is not there.
    """
    with one_transaction():
        sent = quarantine.take_out(suspect_id)
        # Of this part; all of it is kept, or nothing, at the end of the block.
        db.session.commit()
        capture = captures.capture_lead(sent, resolution=MERGE, may_read=True, never_refuse=True)
        if capture.lead:
            idempotency.hand_over_records(suspect_id, capture.lead.id)
        db.session.commit()
    return capture
