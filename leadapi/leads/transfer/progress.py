"""The progress of an import, stored beside the leads, so that an interrupted import can continue."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from leadapi import storage
from leadapi.leads.models import Import
from leadapi.leads.transfer.errors import ImportRunning

imports = Import.metadata.tables["imports"]

COUNTS = ("rows", "stored", "merged", "ignored", "refused", "refused_bytes")

_of = imports.c.fingerprint == bindparam("of")
_insert = insert(imports)
_select = select(*(imports.c[name] for name in COUNTS)).where(_of)
_update = update(imports).where(_of).values({name: bindparam(name) for name in COUNTS})
_delete = delete(imports).where(_of)


@dataclass
class Progress:
    """The numbers of processed rows by outcome, and the length of the file of refused rows."""

    rows: int = 0
    stored: int = 0
    merged: int = 0
    ignored: int = 0
    refused: int = 0
    refused_bytes: int = 0


def find(fingerprint: str) -> Progress | None:
    """The progress of an interrupted import; None if there is none."""
    with storage.read() as connection:
        found = connection.execute(_select, {"of": fingerprint}).one_or_none()
    return Progress(*found) if found else None


def begin(fingerprint: str) -> Progress:
    """Record the start of an import, in place of an earlier one.

    :raises ImportRunning: another process begins it at this moment.
    """
    values: dict[str, Any] = {"fingerprint": fingerprint, "started_at": storage.now()}
    try:
        with storage.write() as tx:
            tx.execute(_delete, {"of": fingerprint})
            tx.execute(_insert, values | asdict(Progress()))
    except IntegrityError as exc:
        if storage.violated(exc) != "uq_imports_fingerprint":
            raise
        raise ImportRunning from exc
    return Progress()


def require(tx: Connection, fingerprint: str, progress: Progress) -> None:
    """Make sure that no other process has continued the import, and lock its progress until `tx` ends.

    :raises ImportRunning: another process has continued or restarted it.
    """
    found = tx.execute(_select.with_for_update(), {"of": fingerprint}).one_or_none()
    if found is None or Progress(*found) != progress:
        raise ImportRunning


def keep(tx: Connection, fingerprint: str, progress: Progress) -> None:
    """Store the progress, as part of the transaction `tx`."""
    tx.execute(_update, {"of": fingerprint} | asdict(progress))


def end(fingerprint: str) -> None:
    """Delete the progress of an import that is complete."""
    with storage.write() as tx:
        tx.execute(_delete, {"of": fingerprint})
