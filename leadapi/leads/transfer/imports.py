"""Brings in leads from a file of any size: a chunk at a time, each whole or not at all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import orjson

from leadapi.events import service as events
from leadapi.leads.captures import IGNORE, MERGE, LeadGone, try_again
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, TooManyAttributes
from leadapi.leads.merging import differences
from leadapi.leads.transfer import bulk, progress
from leadapi.leads.transfer.progress import Progress
from leadapi.storage.database import begin_write, db, now

# How many rows are one transaction. With SQLite, others wait for as long as it takes.
CHUNK = 4000

RESOLUTIONS = {"refuse": None, "merge": MERGE, "ignore": IGNORE}

# A row as it was read, what `checks.check` made of it, and why it is refused.
Judged = tuple[Any, dict[str, Any] | None, str]
Judge = Callable[[Any], Judged]
# Writes refused rows at a place in a file, and returns where they end.
Refuse = Callable[[list[tuple[Any, str]], int], int]


@dataclass(frozen=True)
class Import:
    """What is to be done with the rows of a file.

    :param judge: what is to become of a row.
    :param resolution: `MERGE`, `IGNORE`, or None to refuse repeats.
    :param refuse: called in the transaction that has the other rows of the chunk.
    :param fingerprint: what tells the file from others; None for one that cannot be read again.
    """

    judge: Judge
    resolution: str | None
    refuse: Refuse
    fingerprint: str | None = None

    def run(self, rows: Iterable[Any], done: Progress) -> Iterator[Progress]:
        """Store rows and commit, chunk by chunk; how far it is after each.

        :param rows: what is left of them.
        :param done: how far it is already.
        :raises progress.ImportedElsewhere: another process imports the same file.
        """
        rest = iter(rows)
        bulk.prepare()
        while chunk := list(map(self.judge, islice(rest, CHUNK))):
            done = try_again(partial(self._store, chunk, done), waits=True)
            yield done
        if self.fingerprint:
            progress.end(self.fingerprint)

    def _store(self, chunk: list[Judged], done: Progress) -> Progress:
        time = now()
        stored_at = bulk.instant(time)
        values: dict[str, bulk.Values] = {}
        keys: list[str | None] = []
        # Before the transaction, because others wait for it.
        for _, lead, _ in chunk:
            row = bulk.values_of(lead, stored_at) if lead else None
            key = row[2] if row else None
            keys.append(key)
            if row and key:
                # Of two with one address, the second comes later.
                values.setdefault(key, row)
        begin_write()
        if self.fingerprint:
            progress.require(self.fingerprint, done)
        new = bulk.insert_leads(list(values.values()), stored_at)
        after = replace(done, rows=done.rows + len(chunk), stored=done.stored + len(new))
        refused = self._treat_repeats(chunk, keys, new, after)
        if refused:
            after.refused += len(refused)
            after.refused_bytes = self.refuse(refused, done.refused_bytes)
        if self.fingerprint:
            progress.keep(self.fingerprint, after)
        db.session.commit()
        return after

    def _treat_repeats(
        self, chunk: list[Judged], keys: list[str | None], new: set[str], after: Progress
    ) -> list[tuple[Any, str]]:
        """Do as is wished with the rows that are not new, and count them; return the refused ones and why."""
        refused = []
        repeats = []
        first = set(new)
        for (row, lead, reason), key in zip(chunk, keys, strict=True):
            if key is None or lead is None:
                refused.append((row, reason))
            elif key in first:
                first.remove(key)
            elif self.resolution is None:
                refused.append((row, str(EmailTaken())))
            else:
                repeats.append((row, lead, key))
        if repeats:
            refused += self._merge(repeats, after)
        return refused

    def _merge(self, repeats: list[tuple[Any, dict[str, Any], str]], after: Progress) -> list[tuple[Any, str]]:
        time = now()
        wanted = {key for _, _, key in repeats}
        states = bulk.lock_leads(wanted)
        if len(states) < len(wanted):
            raise LeadGone
        refused, happened, changed = [], [], set()
        for row, lead, key in repeats:
            state = states[key]
            # When it was created is known already.
            given = {name: value for name, value in lead.items() if name in bulk.REWRITTEN}
            try:
                difference = differences(state, given if self.resolution == MERGE else {})
            except TooManyAttributes as exc:
                refused.append((row, f"attributes: {exc.errors['attributes'][0]}"))
                continue
            if difference:
                changed.add(key)
                state |= {name: change["to"] for name, change in difference.items()}
            after.merged += self.resolution == MERGE
            after.ignored += self.resolution == IGNORE
            data = orjson.dumps(
                {"resolution": self.resolution, "sent": lead, "changes": difference}, option=orjson.OPT_UTC_Z
            )
            happened.append(events.event(lead_id=state["id"], type=events.REPEATED, time=time, actor=None, data=data))
        bulk.rewrite_leads([states[key] for key in sorted(changed)], time)
        events.record(happened)
        return refused

    def foresee(self, rows: Iterable[Any]) -> Iterator[Progress]:
        """What `run` would do, as far as it is read: nothing is stored.

        What a merge makes of a lead is not looked at, so it may have too many attributes in the end.
        """
        done = Progress()
        rest = iter(rows)
        try:
            while chunk := list(map(self.judge, islice(rest, CHUNK))):
                keys = [email_key(lead["email"]) if lead else None for _, lead, _ in chunk]
                free = bulk.foresee({key for key in keys if key})
                done = replace(done, rows=done.rows + len(chunk), stored=done.stored + len(free))
                refused = []
                for (row, lead, reason), key in zip(chunk, keys, strict=True):
                    if key in free:
                        free.remove(key)
                    elif lead is None or self.resolution is None:
                        refused.append((row, str(EmailTaken()) if lead else reason))
                    else:
                        done.merged += self.resolution == MERGE
                        done.ignored += self.resolution == IGNORE
                if refused:
                    done.refused += len(refused)
                    done.refused_bytes = self.refuse(refused, done.refused_bytes)
                yield done
        finally:
            db.session.rollback()
