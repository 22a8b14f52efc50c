"""The rows of our tables, through PostgREST with the service key.

The service key bypasses Row Level Security, so every query made for a user filters by the
user itself, and every write of a run is conditional on the session being unfinished.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from postgrest import APIError
from supabase import Client

from vton.adapters.supabase import unavailable_when_away
from vton.errors import CATALOGUE, Unavailable
from vton.garments.model import Garment as ShopGarment
from vton.tryon.model import Garment, ProviderTask, Session, Status
from vton.tryon.ports import (
    Admission,
    Erasure,
    Limits,
    NameTaken,
    NewSession,
    Outcome,
    Ticket,
    TicketAnswer,
    Unfinished,
    UnknownGarment,
    UnknownUser,
)

Row = Mapping[str, Any]

PAGE_ROWS = 1000
"""Hosted Supabase answers with at most so many rows."""
IDS_IN_A_URL = 100
"""Filters are in the URL, which proxies cap at 8 KB."""

_SESSION = "*,garment:garments(id,name,brand,category,image_url)"
_UNFINISHED_COLUMNS = "id,user_id,status,created_at"
_UNFINISHED = (Status.QUEUED, Status.PROCESSING)
_ENDED = (Status.SUCCESS, Status.FAILED)
_UNIQUE_VIOLATION = "23505"
_FOREIGN_KEY_VIOLATION = "23503"

T = TypeVar("T")


class SessionRows:
    """Implements `vton.tryon.ports.Sessions`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _table(self) -> Any:
        return self._client.table("try_on_history")

    def create(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None]:
        arguments = {
            "p_id": new.id,
            "p_user_id": new.user_id,
            "p_garment_id": new.garment_id,
            "p_photo": new.photo,
            "p_key": new.key,
            "p_fingerprint": new.fingerprint,
            "p_max_unfinished": limits.unfinished_per_user,
            "p_max_per_day": limits.per_day_per_user,
            "p_max_waiting": limits.waiting,
            "p_paid_cap": limits.paid_per_day,
        }
        try:
            row = _answer(self._client, "create_session", arguments)
        except APIError as error:
            raise _refusal(error) from None
        return Admission(row["answer"]), row["session_id"]

    def undo(self, session_id: str) -> None:
        _call(self._client, "undo_session", {"p_id": session_id})

    def delete_keys(self, before: datetime) -> None:
        query = self._client.table("idempotency_keys").delete()
        _rows(query.lt("created_at", before.isoformat()))

    def find(self, session_id: str, user_id: str) -> Session | None:
        query = self._table().select(_SESSION).eq("id", session_id).eq("user_id", user_id)
        return _first(_rows(query))

    def history(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None
    ) -> list[Session]:
        query = self._table().select(_SESSION).eq("user_id", user_id).in_("status", _ENDED)
        return [_session(row) for row in _rows(_newest_first(query, before).limit(limit))]

    def delete(self, session_id: str, user_id: str) -> Session | None:
        query = self._table().delete().eq("id", session_id).eq("user_id", user_id)
        return _first(_rows(query))

    def claim(self, session_id: str) -> Session | None:
        query = self._unfinished_of(session_id, {"status": Status.PROCESSING})
        return _first(_rows(query.select(_SESSION)))

    def succeed(self, session_id: str, result: str) -> bool:
        return self._update(session_id, {"status": Status.SUCCESS, "result_image_url": result})

    def fail(self, session_id: str, code: str) -> bool:
        change = {
            "status": Status.FAILED,
            "error_code": code,
            "error_message": CATALOGUE[code].message,
        }
        return self._update(session_id, change)

    def status(self, session_id: str) -> Status | None:
        rows = _rows(self._table().select("status").eq("id", session_id))
        return Status(rows[0]["status"]) if rows else None

    def task(self, session_id: str) -> ProviderTask | None:
        columns = "provider_task_id,provider_status_url"
        rows = _rows(
            self._table().select(columns).eq("id", session_id).not_.is_("provider_task_id", "null")
        )
        return _task(rows[0]) if rows else None

    def unfinished(self) -> Iterator[Unfinished]:
        after: tuple[str, str] | None = None
        while True:
            query = self._table().select(_UNFINISHED_COLUMNS).in_("status", _UNFINISHED)
            if after is not None:
                when, last_id = after
                query = query.gte("created_at", when).or_(
                    f"created_at.gt.{when},and(created_at.eq.{when},id.gt.{last_id})"
                )
            rows = _rows(query.order("created_at").order("id").limit(PAGE_ROWS))
            if not rows:
                return
            for row in rows:
                created_at = datetime.fromisoformat(row["created_at"])
                yield Unfinished(row["id"], row["user_id"], Status(row["status"]), created_at)
            after = rows[-1]["created_at"], rows[-1]["id"]

    def delete_ended(self, before: datetime, limit: int) -> int:
        old = (
            self._table()
            .select("id")
            .in_("status", _ENDED)
            .lt("created_at", before.isoformat())
            .order("created_at")
            .limit(limit)
        )
        ids = [row["id"] for row in _rows(old)]
        for some in _batches(ids):
            _rows(self._table().delete().in_("id", some))
        return len(ids)

    def _update(self, session_id: str, change: Mapping[str, object]) -> bool:
        """Change an unfinished session; False if there is none of that id."""
        return bool(_rows(self._unfinished_of(session_id, change)))

    def _unfinished_of(self, session_id: str, change: Mapping[str, object]) -> Any:
        return self._table().update(change).eq("id", session_id).in_("status", _UNFINISHED)


class SubmitBooks:
    """Implements `vton.tryon.ports.Books`; the rules are in the migrations' functions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def take_ticket(self, session_id: str, attempt: str, paid_cap: int) -> Ticket:
        arguments = {"p_session_id": session_id, "p_attempt": attempt, "p_paid_cap": paid_cap}
        row = _answer(self._client, "take_ticket", arguments)
        return Ticket(TicketAnswer(row["answer"]), row["age"])

    def settle(self, attempt: str, outcome: Outcome, task: ProviderTask | None = None) -> None:
        arguments = {
            "p_attempt": attempt,
            "p_outcome": outcome,
            "p_task_id": task.id if task else None,
            "p_status_url": task.status_url if task else None,
        }
        _call(self._client, "settle_submit", arguments)

    def forgive_error(self, session_id: str, task_id: str) -> bool:
        arguments = {"p_session_id": session_id, "p_task_id": task_id}
        answer = _call(self._client, "forgive_error", arguments)
        if not isinstance(answer, bool):
            raise Unavailable
        return answer

    def doubt_open(self, before: datetime) -> None:
        query = self._client.table("submits").update({"outcome": Outcome.UNCERTAIN})
        _rows(query.eq("outcome", "open").lt("at", before.isoformat()))


class ErasureRows:
    """Implements `vton.tryon.ports.Erasures`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def due(self, made_before: datetime, limit: int) -> list[Erasure]:
        query = self._client.table("erasures").select("id,path,erased_at")
        query = query.or_(f"erased_at.is.null,created_at.lt.{made_before.isoformat()}")
        rows = _rows(query.order("created_at").limit(limit))
        return [Erasure(row["id"], row["path"], row["erased_at"] is not None) for row in rows]

    def mark_erased(self, ids: Collection[int]) -> None:
        now = datetime.now(UTC).isoformat()
        for some in _batches(ids):
            query = self._client.table("erasures").update({"erased_at": now})
            _rows(query.in_("id", some))

    def forget(self, ids: Collection[int]) -> None:
        for some in _batches(ids):
            _rows(self._client.table("erasures").delete().in_("id", some))


class GarmentRows:
    """Implements `vton.garments.ports.GarmentTable`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, category: str | None, limit: int | None, before: tuple[datetime, str] | None
    ) -> list[ShopGarment]:
        garments: list[ShopGarment] = []
        while limit is None or len(garments) < limit:
            page = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(garments))
            query = self._client.table("garments").select("*")
            if category is not None:
                query = query.eq("category", category)
            rows = _rows(_newest_first(query, before).limit(page))
            garments += [_garment(row) for row in rows]
            if not rows:
                break
            before = garments[-1].created_at, garments[-1].id
        return garments

    def save(self, name: str, brand: str | None, category: str | None, picture: str) -> None:
        row = {"name": name, "brand": brand, "category": category, "image_url": picture}
        _rows(self._client.table("garments").upsert(row, on_conflict="image_url"))


def _newest_first(query: Any, before: tuple[datetime, str] | None) -> Any:
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


def _rows(query: Any) -> list[Row]:
    """Run a query; rows are the only answer that PostgREST gives to ours."""
    with unavailable_when_away():
        data = query.execute().data
    if not isinstance(data, list):  # a proxy's page under status 200
        raise Unavailable
    return data


def _call(client: Client, function: str, arguments: Mapping[str, object]) -> object:
    """Call a function of the migrations; what it answered, None where it answers nothing.

    A proxy's page under status 200 comes as text: it is no answer.
    """
    with unavailable_when_away():
        data = client.rpc(function, dict(arguments)).execute().data
    if isinstance(data, str) and data:
        raise Unavailable
    return data


def _answer(client: Client, function: str, arguments: Mapping[str, object]) -> Row:
    """Call a function that answers one row."""
    rows = _call(client, function, arguments)
    if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
        raise Unavailable
    return rows[0]


def _batches(ids: Collection[T]) -> Iterator[list[T]]:
    """The ids in lists short enough for a URL."""
    everything = list(ids)
    for start in range(0, len(everything), IDS_IN_A_URL):
        yield everything[start : start + IDS_IN_A_URL]


def _first(rows: list[Row]) -> Session | None:
    return _session(rows[0]) if rows else None


def _refusal(error: APIError) -> Exception:
    """What Postgres's refusal of a new session means; it names the constraint."""
    text = error.message or ""
    if error.code == _FOREIGN_KEY_VIOLATION and "garment_id" in text:
        return UnknownGarment()
    if error.code == _FOREIGN_KEY_VIOLATION and "user_id" in text:
        return UnknownUser()
    if error.code == _UNIQUE_VIOLATION and "photo" in text:
        return NameTaken()
    return error


def _session(row: Row) -> Session:
    garment = row.get("garment")
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        garment_id=row["garment_id"],
        photo=row["original_user_image_url"],
        result=row["result_image_url"],
        status=Status(row["status"]),
        error_message=row["error_message"],
        error_code=row["error_code"],
        task=_task(row) if row["provider_task_id"] else None,
        created_at=datetime.fromisoformat(row["created_at"]),
        garment=_session_garment(garment) if garment else None,
    )


def _task(row: Row) -> ProviderTask:
    return ProviderTask(row["provider_task_id"], row["provider_status_url"])


def _session_garment(row: Row) -> Garment:
    return Garment(row["id"], row["name"], row["brand"], row["category"], row["image_url"])


def _garment(row: Row) -> ShopGarment:
    return ShopGarment(
        id=row["id"],
        name=row["name"],
        brand=row["brand"],
        category=row["category"],
        picture=row["image_url"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )
