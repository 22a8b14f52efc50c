"""The gateway's connections to PostgreSQL, and how a statement runs as somebody."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from devstack.supabase.callers import Caller

POOL_SIZE = 24
"""Connections at most; calls are short, so that two hundred callers share them easily."""


class Database:
    """A pool of connections. Made after a fork, never before."""

    def __init__(self, url: str) -> None:
        # Statements are not prepared: a migration may change the tables under a running gateway.
        options = {"prepare_threshold": None, "row_factory": dict_row}
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url, min_size=2, max_size=POOL_SIZE, kwargs=options, open=True
        )

    @contextmanager
    def transaction(
        self, caller: Caller | None = None, *, read_only: bool = False
    ) -> Iterator[Cursor[DictRow]]:
        """A transaction as `caller`, or as the owner of the database; an exception undoes it."""
        with self._pool.connection() as connection, connection.cursor() as cursor:
            if read_only:
                cursor.execute("set transaction read only")
            if caller is not None:
                become(cursor, caller)
            yield cursor


def become(cursor: Cursor[Any], caller: Caller) -> None:
    """Run the rest of the transaction as `caller`, as PostgREST and Storage do."""
    cursor.execute(
        "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
        (caller.role, json.dumps(caller.claims)),
    )
