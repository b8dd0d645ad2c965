"""Store the rows of a file in chunks, each in one transaction."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import bindparam, select, text

from leadapi import storage
from leadapi.keys.service import OPERATOR, Caller
from leadapi.leads import captures
from leadapi.leads.captures import IGNORE, MERGE, Capture, NewLead
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, TooManyAttributes
from leadapi.leads.queries import leads
from leadapi.leads.transfer import progress
from leadapi.leads.transfer.progress import Progress

# Rows per transaction. On SQLite, other writers wait until it ends.
CHUNK = 4000
# A chunk waits longer for the write lock than a request, because no client waits for it.
PATIENCE_SECONDS = 25

RESOLUTIONS = {"refuse": None, "merge": MERGE, "ignore": IGNORE}

# A row as it was read; the lead that it stands for, or None; the reason for a refusal.
ParsedRow = tuple[Any, NewLead | None, str]
ParseRow = Callable[[Any], ParsedRow]
# Writes refused rows at a position of the file for them, and returns the position after them.
Refuse = Callable[[list[tuple[Any, str]], int], int]

_taken = select(leads.c.email_key).where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
_simulated = text("SELECT email_key FROM simulated WHERE email_key IN :keys").bindparams(
    bindparam("keys", expanding=True)
)


@dataclass(frozen=True)
class Import:
    """An import of the rows of a file.

    :param parse: turns a row into a lead.
    :param resolution: `MERGE`, `IGNORE`, or None to refuse repeats.
    :param refuse: called in the transaction that stores the other rows of the chunk.
    :param fingerprint: identifies the file and the options; empty for a simulation.
    :param by: the caller that the leads come from.
    """

    parse: ParseRow
    resolution: str | None
    refuse: Refuse
    fingerprint: str = ""
    by: Caller = OPERATOR

    def run(self, rows: Iterable[Any], done: Progress) -> Iterator[Progress]:
        """Store rows and commit, chunk by chunk; yield the progress after each.

        :param rows: the remaining rows.
        :param done: the progress so far.
        :raises ImportRunning: another process imports the same file.
        """
        rest = iter(rows)
        while chunk := list(map(self.parse, islice(rest, CHUNK))):
            done = self._store(chunk, done)
            yield done
        progress.end(self.fingerprint)

    @storage.retries_deadlocks
    def _store(self, chunk: list[ParsedRow], done: Progress) -> Progress:
        after = replace(done, rows=done.rows + len(chunk))
        new_leads = [new for _, new, _ in chunk if new]
        with storage.write(patience=PATIENCE_SECONDS) as tx:
            progress.require(tx, self.fingerprint, done)
            outcomes = iter(captures.capture(new_leads, by=self.by, on_repeat=self.resolution, within=tx))
            refused = []
            for row, new, reason in chunk:
                refusal = self._count(next(outcomes), after) if new else reason
                if refusal:
                    refused.append((row, refusal))
            if refused:
                after.refused += len(refused)
                after.refused_bytes = self.refuse(refused, done.refused_bytes)
            progress.keep(tx, self.fingerprint, after)
        return after

    def _count(self, outcome: Capture, counts: Progress) -> str:
        """Count an outcome; return the reason for a refusal, or an empty text."""
        if isinstance(outcome.refusal, TooManyAttributes):
            return f"attributes: {outcome.refusal.errors['attributes'][0]}"
        if outcome.refusal:
            return str(outcome.refusal)
        counts.stored += outcome.created
        counts.merged += not outcome.created and self.resolution == MERGE
        counts.ignored += not outcome.created and self.resolution == IGNORE
        return ""

    def simulate(self, rows: Iterable[Any]) -> Iterator[Progress]:
        """Yield the progress that `run` would make; store nothing.

        The result of a merge is not computed: a lead that would get too many attributes counts as merged.
        """
        done = Progress()
        rest = iter(rows)
        with storage.read() as connection:
            # The addresses of earlier rows are kept in a table, because they may not fit into memory. It stays until
            # the connection ends, because an interrupted connection cannot drop it.
            connection.execute(text("CREATE TEMPORARY TABLE IF NOT EXISTS simulated (email_key TEXT PRIMARY KEY)"))
            connection.execute(text("DELETE FROM simulated"))
            while chunk := list(map(self.parse, islice(rest, CHUNK))):
                keys = [email_key(new.fields["email"]) if new else None for _, new, _ in chunk]
                wanted = {"keys": sorted(filter(None, keys))}
                taken = {*connection.scalars(_taken, wanted), *connection.scalars(_simulated, wanted)}
                free = set(wanted["keys"]) - taken
                if free:
                    connection.execute(text("INSERT INTO simulated VALUES (:key)"), [{"key": key} for key in free])
                done = self._simulate_chunk(chunk, keys, free, done)
                yield done

    def _simulate_chunk(
        self, chunk: list[ParsedRow], keys: list[str | None], free: set[str], done: Progress
    ) -> Progress:
        done = replace(done, rows=done.rows + len(chunk), stored=done.stored + len(free))
        refused = []
        for (row, new, reason), key in zip(chunk, keys, strict=True):
            if key in free:
                free.remove(key)
            elif new is None or self.resolution is None:
                refused.append((row, str(EmailTaken()) if new else reason))
            else:
                done.merged += self.resolution == MERGE
                done.ignored += self.resolution == IGNORE
        if refused:
            done.refused += len(refused)
            done.refused_bytes = self.refuse(refused, done.refused_bytes)
        return done
