"""Queries and functions of the database, asked through PostgREST with the service key."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from supabase import Client

from vton.adapters.supabase.client import unavailable_when_away
from vton.errors import Unavailable

Row = Mapping[str, Any]

PAGE_ROWS = 1000
"""Hosted Supabase answers with at most so many rows."""
IDS_IN_A_URL = 100
"""Filters are in the URL, which proxies cap at 8 KB."""

T = TypeVar("T")


def newest_first(query: Any, before: tuple[datetime, str] | None) -> Any:
    """Order by creation, newest first, from behind `before` on (keyset on created_at, id).

    The plain `lte` lets the index begin at the right place; the `or` settles equal times.
    """
    query = query.order("created_at", desc=True).order("id", desc=True)
    if before is None:
        return query
    when, last_id = before[0].isoformat(), before[1]
    return query.lte("created_at", when).or_(
        f"created_at.lt.{when},and(created_at.eq.{when},id.lt.{last_id})"
    )


def rows(query: Any) -> list[Row]:
    """Return the rows that a query answers, which is all that PostgREST gives to ours."""
    with unavailable_when_away():
        data = query.execute().data
    if not isinstance(data, list):  # a proxy's page under status 200
        raise Unavailable
    return data


def call(client: Client, function: str, arguments: Mapping[str, object]) -> object:
    """Return what a function of the migrations answers, None where it answers nothing.

    A proxy's page under status 200 comes as text: it is no answer.
    """
    with unavailable_when_away():
        data = client.rpc(function, dict(arguments)).execute().data
    if isinstance(data, str) and data:
        raise Unavailable
    return data


def one_row(client: Client, function: str, arguments: Mapping[str, object]) -> Row:
    """Return the one row that a function of the migrations answers."""
    found = call(client, function, arguments)
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise Unavailable
    return found[0]


def batches(items: Collection[T], size: int = IDS_IN_A_URL) -> Iterator[list[T]]:
    """Return the items in lists of at most `size`, by default short enough for a URL."""
    everything = list(items)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]
