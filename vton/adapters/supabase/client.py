"""The Supabase client: how it is made, and what its errors mean."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from postgrest import APIError
from supabase import Client, ClientOptions, create_client

from vton import metrics
from vton.deadline import seconds_left
from vton.errors import Problem, Unavailable
from vton.log import cleaned

logger = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(10, connect=3, pool=30)
"""Seconds to wait for an answer, for a connection, and for one of the pool to be free."""
KEEPALIVE_SECONDS = 20
"""An idle connection is dropped before the server's side (60 s and more) drops it."""

NONSENSE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What the client raises when an answer is not the service's, but a proxy's page, say."""
NOT_MIGRATED = (
    "it is not migrated: set SUPABASE_DB_URL and run `flask --app wsgi migrate`, or run"
    " `supabase db push --linked`"
)
LAPSED_IN_A_ROW = 3
"""One such answer is a clock that was corrected, or a token that was made anew."""

_LAPSED = "PGRST303"
_REFUSED_KEYS = ("401", "PGRST301", "PGRST302", _LAPSED, "42501")
"""A token that is none, none at all, out of date; and what the role may not do."""
_SQLSTATE_DATA = "22"
"""The class for values that PostgreSQL cannot take, such as a NUL in a text."""
_SQLSTATE_CONSTRAINT = "23"
"""The class for constraints: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_UNKNOWN_TO_IT = ("PGRST202", "PGRST204", "PGRST205", "42P01", "42703", "42883")
"""Functions, columns and tables that PostgREST's cache or the database does not have."""


def connect_supabase(url: str, service_key: str, connections: int) -> Client:
    """Return a client with the service key, for one process and all of its threads.

    It must be made after a fork: an inherited connection may answer with another process's
    rows. It speaks HTTP/1.1, since httpx's HTTP/2 is not thread-safe, never retries by
    itself, and must never sign a user in, whose token would replace the service key.
    """
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    options = ClientOptions(
        httpx_client=httpx.Client(
            http2=False,
            timeout=TIMEOUT,
            limits=limits,
            event_hooks={"request": [_hurry], "response": [_part_with_refused_upload]},
        ),
        auto_refresh_token=False,
        persist_session=False,
        postgrest_client_retry=False,
    )
    return create_client(url, service_key, options)


def _hurry(request: httpx.Request) -> None:
    """Give a call what is left of the time of the request that it is made for."""
    left = seconds_left()
    if left is None:
        return
    if left <= 0:
        raise httpx.PoolTimeout("there is no time left", request=request)
    asked: dict[str, float | None] = request.extensions["timeout"]
    request.extensions["timeout"] = {
        step: left if seconds is None else min(seconds, left) for step, seconds in asked.items()
    }


def _part_with_refused_upload(response: httpx.Response) -> None:
    """Close the connection of an upload that was refused.

    The storage answers such a one before it has read the photo, leaves the connection open and
    reads no more of it: the next call on it would wait in vain.
    """
    kind = response.request.headers.get("content-type", "")
    if response.is_success or not kind.startswith("multipart/"):
        return
    stream = response.stream
    assert isinstance(stream, httpx.SyncByteStream)
    body = b"".join(stream)
    response.extensions["network_stream"].close()  # first, or another thread could get it
    stream.close()
    response.stream = httpx.ByteStream(body)


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Raise what a call's failure means; for a call of the Supabase client, and nothing else."""
    try:
        yield
    except (httpx.HTTPError, APIError, *NONSENSE) as error:
        meant = meaning(error)
        if isinstance(meant, Unavailable):
            metrics.FAULTS.labels("supabase").inc()
        raise meant from None
    _lapsed.forget()


def meaning(error: Exception) -> Exception:
    """What a failed call of the database means.

    The error itself where one of our constraints was violated, which it names; Problem where a
    value was none that PostgreSQL takes; and Unavailable for all the rest, whatever it says: a
    standby that is read-only, a deadlock, a pooler's prepared statement, a schema that PostgREST
    has not seen yet. Those may be repeated, and a paid picture waits for them.
    """
    if isinstance(error, httpx.HTTPError):
        logger.warning("Supabase is away: %s", type(error).__name__)
        return Unavailable("Supabase cannot be reached")
    if not isinstance(error, APIError):
        logger.error("Supabase answered what nobody can read: %s", type(error).__name__)
        return Unavailable("Supabase answers what nobody can read")
    code = str(error.code or "")
    if code.startswith(_SQLSTATE_CONSTRAINT):
        return error
    if code.startswith(_SQLSTATE_DATA):
        return Problem("bad_request")
    if code == _LAPSED and not _lapsed.is_one_too_many():
        logger.warning("Supabase takes the service key's token for lapsed")
        return Unavailable("Supabase takes the service key's token for lapsed")
    if (error.message or "") == "Invalid API key" or code in _REFUSED_KEYS:
        logger.error("ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY: %s", cleaned(error.message))
        return Unavailable("Supabase refuses SUPABASE_SERVICE_ROLE_KEY")
    if code in _UNKNOWN_TO_IT:
        logger.error(
            "ALARM the database lacks what this release needs: %s %s", code, cleaned(error.message)
        )
        return Unavailable(NOT_MIGRATED)
    logger.warning("the database is away: code=%s", cleaned(code, 40))
    return Unavailable(f"the database is away ({cleaned(code, 40)})")


class _InARow:
    """Counts what is no alarm by itself. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def is_one_too_many(self) -> bool:
        """Count one more, and say whether there were as many in a row as are an alarm."""
        self._count += 1
        return self._count >= self._most

    def forget(self) -> None:
        """Begin anew."""
        self._count = 0


_lapsed = _InARow(LAPSED_IN_A_ROW)
