"""Leases of jobs: only one process does a job at a time, and another one takes over when that process has died."""

import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.dialects import postgresql

from leadapi import storage
from leadapi.retention.models import Job

_jobs = Job.metadata.tables["jobs"]
_time = storage.UTCDateTime()
_new = postgresql.insert(_jobs).values({name: bindparam(name) for name in ("name", "lease", "leased_until")})
# PostgreSQL's INSERT is valid in SQLite, too. It returns no row while another process has the lease.
_claim = _new.on_conflict_do_update(
    index_elements=["name"],
    set_={"lease": _new.excluded.lease, "leased_until": _new.excluded.leased_until},
    where=or_(
        _jobs.c.leased_until.is_(None),
        _jobs.c.leased_until <= bindparam("now", type_=_time),
        # Only a clock that was set back since can have given a lease until then.
        _jobs.c.leased_until > _new.excluded.leased_until,
    ),
).returning(_jobs.c.name)
_is_held = (_jobs.c.name == bindparam("of")) & (_jobs.c.lease == bindparam("token"))
_renew = update(_jobs).where(_is_held).values(leased_until=bindparam("until"))
_release = update(_jobs).where(_is_held).values(lease=None, leased_until=None)
_complete = _release.values(done_at=bindparam("began_at"))
_done_at = select(_jobs.c.done_at).where(_jobs.c.name == bindparam("of"))


class Lease:
    """The right to do a job, for a while.

    :param lasts: how long, after the start and after each renewal.
    """

    def __init__(self, name: str, lasts: timedelta) -> None:
        self._name, self._lasts = name, lasts
        self._token = secrets.token_hex(16)

    def claim(self) -> bool:
        """Take the lease unless another process holds it; return whether it was taken."""
        now = datetime.now(UTC)
        values = {"name": self._name, "lease": self._token, "leased_until": now + self._lasts, "now": now}
        with storage.write() as tx:
            return tx.execute(_claim, values).one_or_none() is not None

    def renew(self) -> bool:
        """Extend the lease; return False if it is no longer ours."""
        with storage.write() as tx:
            values = {"of": self._name, "token": self._token, "until": datetime.now(UTC) + self._lasts}
            return tx.execute(_renew, values).rowcount == 1

    def release(self, began_at: datetime | None) -> None:
        """Let other processes do the job.

        :param began_at: when the run began, if it is complete.
        """
        with storage.write() as tx:
            values = {"of": self._name, "token": self._token}
            if began_at is None:
                tx.execute(_release, values)
            else:
                tx.execute(_complete, values | {"began_at": began_at})


def done_at(name: str) -> datetime | None:
    """When the last complete run of a job began."""
    with storage.read() as connection:
        return connection.execute(_done_at, {"of": name}).scalar_one_or_none()
