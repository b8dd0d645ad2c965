"""How far an import has come: kept beside the leads, so that one that was interrupted can go on."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from leadapi.leads.models import Import
from leadapi.storage.database import begin_write, db, now

imports = Import.metadata.tables["imports"]

COUNTS = ("rows", "stored", "merged", "ignored", "refused", "refused_bytes")

_of = imports.c.fingerprint == bindparam("of")
_insert = insert(imports)
_select = select(*(imports.c[name] for name in COUNTS)).where(_of)
_update = update(imports).where(_of).values({name: bindparam(name) for name in COUNTS})
_delete = delete(imports).where(_of)


class ImportedElsewhere(Exception):
    """Another process imports the same file at this moment."""

    def __str__(self) -> str:
        return "Another import of this file is at work, or was started over."


@dataclass
class Progress:
    """How many rows of a file are done, what became of them, and how long the file of refused ones is."""

    rows: int = 0
    stored: int = 0
    merged: int = 0
    ignored: int = 0
    refused: int = 0
    refused_bytes: int = 0


def find(fingerprint: str) -> Progress | None:
    """How far an import came that did not end; None where there is none."""
    found = db.session.execute(_select, {"of": fingerprint}).one_or_none()
    db.session.rollback()
    return Progress(*found) if found else None


def begin(fingerprint: str) -> Progress:
    """Remember an import that begins, and forget how far an earlier one came.

    :raises ImportedElsewhere: another process begins with it at this moment.
    """
    begin_write()
    db.session.execute(_delete, {"of": fingerprint})
    values: dict[str, Any] = {"fingerprint": fingerprint, "started_at": now()}
    try:
        db.session.execute(_insert, values | asdict(Progress()))
        db.session.commit()
    except IntegrityError as exc:
        db.session.rollback()
        raise ImportedElsewhere from exc
    return Progress()


def require(fingerprint: str, progress: Progress) -> None:
    """Make sure, in the running transaction, that nobody has gone on meanwhile, nor will until it ends.

    :raises ImportedElsewhere: somebody has.
    """
    found = db.session.execute(_select.with_for_update(), {"of": fingerprint}).one_or_none()
    if found is None or Progress(*found) != progress:
        raise ImportedElsewhere


def keep(fingerprint: str, progress: Progress) -> None:
    """Remember it in the running transaction."""
    db.session.execute(_update, {"of": fingerprint} | asdict(progress))


def end(fingerprint: str) -> None:
    """Forget it, because it is done."""
    begin_write()
    db.session.execute(_delete, {"of": fingerprint})
    db.session.commit()
