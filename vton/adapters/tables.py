"""The rows of `try_on_history` and `garments`, through PostgREST with the service key.

The service key bypasses Row Level Security, so every query made for a user filters by the
user itself, and every write of a run is conditional on the session being unfinished.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from postgrest import APIError
from supabase import Client

from vton.adapters.supabase import unavailable_when_away
from vton.errors import CATALOGUE, Unavailable
from vton.garments.model import Garment as ShopGarment
from vton.tryon.model import Garment, ProviderTask, Session, Status
from vton.tryon.ports import NameTaken, UnknownGarment, UnknownUser

Row = Mapping[str, Any]

PAGE_ROWS = 1000
"""Hosted Supabase answers with at most so many rows."""

_SESSION = "*,garment:garments(id,name,brand,category,image_url)"
_UNFINISHED = (Status.QUEUED, Status.PROCESSING)
_ENDED = (Status.SUCCESS, Status.FAILED)
_UNIQUE_VIOLATION = "23505"
_FOREIGN_KEY_VIOLATION = "23503"


class SessionRows:
    """Implements `vton.tryon.ports.Sessions`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _table(self) -> Any:
        return self._client.table("try_on_history")

    def create(self, session_id: str, user_id: str, garment_id: str, photo: str) -> None:
        row = {
            "id": session_id,
            "user_id": user_id,
            "garment_id": garment_id,
            "original_user_image_url": photo,
        }
        try:
            _rows(self._table().insert(row))
        except APIError as error:
            raise _refusal(error) from None

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
        if not self._update(session_id, {"status": Status.PROCESSING}):
            return None
        return _first(_rows(self._table().select(_SESSION).eq("id", session_id)))

    def keep_task(self, session_id: str, task: ProviderTask) -> None:
        change = {"provider_task_id": task.id, "provider_status_url": task.status_url}
        query = self._table().update(change).eq("id", session_id)
        _rows(query.is_("provider_task_id", "null"))

    def succeed(self, session_id: str, result: str) -> bool:
        return self._update(session_id, {"status": Status.SUCCESS, "result_image_url": result})

    def fail(self, session_id: str, code: str) -> bool:
        change = {
            "status": Status.FAILED,
            "error_code": code,
            "error_message": CATALOGUE[code].message,
        }
        return self._update(session_id, change)

    def exists(self, session_id: str) -> bool:
        return bool(_rows(self._table().select("id").eq("id", session_id)))

    def _update(self, session_id: str, change: Mapping[str, object]) -> bool:
        """Change an unfinished session; False if there is none of that id."""
        query = self._table().update(change).eq("id", session_id).in_("status", _UNFINISHED)
        return bool(_rows(query))


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
    task_id = row["provider_task_id"]
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        garment_id=row["garment_id"],
        photo=row["original_user_image_url"],
        result=row["result_image_url"],
        status=Status(row["status"]),
        error_message=row["error_message"],
        error_code=row["error_code"],
        task=ProviderTask(task_id, row["provider_status_url"]) if task_id else None,
        created_at=datetime.fromisoformat(row["created_at"]),
        garment=_session_garment(garment) if garment else None,
    )


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
