"""The connection to PostgreSQL: psycopg's, with a time limit for each answer."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")


class PostgresConnection(psycopg.Connection[Any]):
    """A connection that gives up when the server does not answer.

    The time limits of PostgreSQL are the server's own, and the kernel acknowledges packets while the server's processes
    are stopped.
    """

    # None while a statement may take as long as it needs.
    answer_seconds: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Run an operation to its end.

        :raises psycopg.OperationalError: the server has not answered in time. The connection is closed.
        """
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.OperationalError as exc:
            # Without an SQLSTATE, the error is not the server's. A late answer would be taken for that of the next
            # statement.
            if exc.sqlstate is None:
                self.close()
            raise
