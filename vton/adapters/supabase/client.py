"""The Supabase client: how it is made, and what its errors mean."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from postgrest import APIError
from supabase import Client, ClientOptions, create_client

from vton.errors import Problem, Unavailable

logger = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(10, connect=3, pool=30)
"""Seconds to wait for an answer, for a connection, and for one of the pool to be free."""
KEEPALIVE_SECONDS = 20
"""An idle connection is dropped before the server's side (60 s and more) drops it."""

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_REFUSED_KEYS = ("401", "PGRST301", "PGRST302", "PGRST303", "42501")
"""A token that is none, none at all, out of date; and what the role may not do."""
_SQLSTATE_DATA = "22"
"""The class for values that PostgreSQL cannot take, such as a NUL in a text."""
_SQLSTATE_AWAY = ("08", "53", "57", "58", "XX")
"""Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html that are not about
the statement: connection, resources, operator intervention, system and internal errors."""


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
            event_hooks={"response": [_part_with_refused_upload]},
        ),
        auto_refresh_token=False,
        persist_session=False,
        postgrest_client_retry=False,
    )
    return create_client(url, service_key, options)


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
    """Turn what says that Supabase is away, or does not let us in, into Unavailable."""
    try:
        yield
    except httpx.HTTPError as error:
        logger.warning("Supabase is away: %s", type(error).__name__)
        raise Unavailable("Supabase cannot be reached") from None
    except APIError as error:
        if (error.code or "").startswith(_SQLSTATE_DATA):
            raise Problem("bad_request") from None
        if _about_the_key(error):
            logger.error("ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY: %s", error.message)
            raise Unavailable("Supabase refuses SUPABASE_SERVICE_ROLE_KEY") from None
        if _about_the_statement(error.code or ""):
            raise
        logger.warning("Supabase is away: code=%s", error.code)
        raise Unavailable(f"the database is away ({error.code})") from None


def _about_the_key(error: APIError) -> bool:
    """Whether the key is wrong: unknown to the gateway, signed by another, or the public one."""
    return (error.message or "") == "Invalid API key" or error.code in _REFUSED_KEYS


def _about_the_statement(code: str) -> bool:
    """Whether PostgREST's error is about what we asked, and not about its own state.

    PGRST000 to PGRST003 say that it has no database connection; a number is the HTTP status of
    an answer that did not come from PostgREST at all.
    """
    if code.startswith("PGRST"):
        return not code.startswith("PGRST00")
    return bool(_SQLSTATE.fullmatch(code)) and not code.startswith(_SQLSTATE_AWAY)
