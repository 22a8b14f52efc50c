"""The rows of our tables.

The service key bypasses Row Level Security, so every query made for a user filters by the
user itself, and every write of a run is conditional on the session being unfinished.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from postgrest import APIError
from supabase import Client

from vton.adapters.supabase.garments import garment_picture
from vton.adapters.supabase.rows import (
    PAGE_ROWS,
    Row,
    batches,
    call,
    newest_first,
    one_row,
    rows,
)
from vton.errors import CATALOGUE, Unavailable
from vton.tryon.model import ENDED, UNFINISHED, Garment, ProviderTask, Session, Status, own_photo
from vton.tryon.ports.database import (
    Admission,
    Erasure,
    Limits,
    NewSession,
    PhotoSource,
    UnfinishedSession,
    UnknownGarment,
    UnknownUser,
)
from vton.tryon.ports.storage import NameTaken

_SESSION = "*,garment:garments(id,name,brand,category,image_url)"
_TASK_COLUMNS = "provider,task_id,status_url"
_CLAIMED_SESSION = f"{_SESSION},task:provider_tasks({_TASK_COLUMNS})"
_UNFINISHED_COLUMNS = "id,user_id,status,created_at"
_UNIQUE_VIOLATION = "23505"
_FOREIGN_KEY_VIOLATION = "23503"


class SessionRows:
    """Implements `vton.tryon.ports.database.Sessions`."""

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def _table(self) -> Any:
        return self._client.table("try_on_history")

    def create(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None]:
        arguments = {"p_id": new.id, "p_photo": new.photo, **_admission(new, limits)}
        try:
            row = one_row(self._client, "create_session", arguments)
        except APIError as error:
            raise _refusal(error) from None
        return Admission(row["result"]), row["session_id"]

    def check(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None] | None:
        try:
            found = call(self._client, "admission", _admission(new, limits))
        except APIError as error:
            raise _refusal(error) from None
        if not isinstance(found, list):
            raise Unavailable
        return (Admission(found[0]["result"]), found[0]["session_id"]) if found else None

    def undo(self, session_id: str) -> bool:
        return bool(call(self._client, "undo_session", {"p_id": session_id}))

    def delete_idempotency_keys(self, before: datetime) -> None:
        self._delete_before("idempotency_keys", "created_at", before)

    def delete_log(self, before: datetime) -> None:
        self._delete_before("session_log", "accepted_at", before)

    def _delete_before(self, table: str, column: str, before: datetime) -> None:
        rows(self._client.table(table).delete().lt(column, before.isoformat()))

    def find(self, session_id: str, user_id: str) -> Session | None:
        query = self._table().select(_SESSION).eq("id", session_id).eq("user_id", user_id)
        return self._first(rows(query))

    def photo_source(self, session_id: str, user_id: str) -> PhotoSource | None:
        query = self._table().select(_CLAIMED_SESSION).eq("id", session_id).eq("user_id", user_id)
        session = self._first(rows(query))
        photo = own_photo(session) if session else None
        if session is None or photo is None:
            return None
        keys = self._client.table("idempotency_keys").select("fingerprint")
        found = rows(keys.eq("session_id", session_id).limit(1))
        fingerprint = found[0]["fingerprint"] if found else None
        ours = bool(found or session.task or not session.status.ended)
        return PhotoSource(photo, session.garment_id, fingerprint, ours)

    def history(
        self,
        user_id: str,
        statuses: Collection[Status],
        limit: int,
        before: tuple[datetime, str] | None,
    ) -> list[Session]:
        query = self._table().select(_SESSION).eq("user_id", user_id)
        if set(statuses) != set(Status):
            query = query.in_("status", statuses)
        return [
            _session(row, self._bucket) for row in rows(newest_first(query, before).limit(limit))
        ]

    def delete(self, session_id: str, user_id: str) -> Session | None:
        query = self._table().delete().eq("id", session_id).eq("user_id", user_id)
        return self._first(rows(query))

    def claim(self, session_id: str) -> Session | None:
        query = self._unfinished_of(session_id, {"status": Status.PROCESSING})
        return self._first(rows(query.select(_CLAIMED_SESSION)))

    def succeed(self, session_id: str, result: str, looks: int = 0) -> bool:
        return self._end(session_id, looks, p_result=result)

    def fail(self, session_id: str, code: str, looks: int = 0) -> bool:
        message = CATALOGUE[code].message
        return self._end(session_id, looks, p_error_code=code, p_error_message=message)

    def status(self, session_id: str) -> Status | None:
        found = rows(self._table().select("status").eq("id", session_id))
        return Status(found[0]["status"]) if found else None

    def task(self, session_id: str) -> ProviderTask | None:
        query = self._client.table("provider_tasks").select(_TASK_COLUMNS)
        found = rows(query.eq("session_id", session_id))
        return _task(found[0]) if found else None

    def unfinished(self) -> Iterator[UnfinishedSession]:
        after: tuple[str, str] | None = None
        while True:
            query = self._table().select(_UNFINISHED_COLUMNS).in_("status", UNFINISHED)
            if after is not None:
                when, last_id = after
                query = query.gte("created_at", when).or_(
                    f"created_at.gt.{when},and(created_at.eq.{when},id.gt.{last_id})"
                )
            found = rows(query.order("created_at").order("id").limit(PAGE_ROWS))
            if not found:
                return
            for row in found:
                created_at = datetime.fromisoformat(row["created_at"])
                yield UnfinishedSession(
                    row["id"], row["user_id"], Status(row["status"]), created_at
                )
            after = found[-1]["created_at"], found[-1]["id"]

    def oldest_waiting(self) -> datetime | None:
        """Return when the session was made that has waited longest, None where none waits."""
        query = self._table().select("created_at").eq("status", Status.QUEUED)
        found = rows(query.in_("status", UNFINISHED).order("created_at").limit(1))
        return datetime.fromisoformat(found[0]["created_at"]) if found else None

    def delete_ended(self, before: datetime, limit: int) -> int:
        old = (
            self._table()
            .select("id")
            .in_("status", ENDED)
            .lt("created_at", before.isoformat())
            .order("created_at")
            .limit(limit)
        )
        ids = [row["id"] for row in rows(old)]
        for some in batches(ids):
            rows(self._table().delete().in_("id", some))
        return len(ids)

    def _first(self, found: list[Row]) -> Session | None:
        return _session(found[0], self._bucket) if found else None

    def _end(self, session_id: str, looks: int, **how: str) -> bool:
        """End an unfinished session; False if there is none of that id."""
        nothing = dict.fromkeys(("p_result", "p_error_code", "p_error_message"))
        ended = call(
            self._client, "end_session", {"p_id": session_id, "p_looks": looks, **nothing, **how}
        )
        if not isinstance(ended, bool):
            raise Unavailable
        return ended

    def _unfinished_of(self, session_id: str, change: Mapping[str, object]) -> Any:
        return self._table().update(change).eq("id", session_id).in_("status", UNFINISHED)


class ErasureRows:
    """Implements `vton.tryon.ports.database.Erasures`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def due(self, made_before: datetime, limit: int) -> list[Erasure]:
        query = self._client.table("erasures").select("id,path,erased_at")
        query = query.or_(f"erased_at.is.null,created_at.lt.{made_before.isoformat()}")
        found = rows(query.order("created_at").limit(limit))
        return [Erasure(row["id"], row["path"], row["erased_at"] is not None) for row in found]

    def mark_erased(self, ids: Collection[int]) -> None:
        now = datetime.now(UTC).isoformat()
        for some in batches(ids):
            query = self._client.table("erasures").update({"erased_at": now})
            rows(query.in_("id", some))

    def forget(self, ids: Collection[int]) -> None:
        for some in batches(ids):
            rows(self._client.table("erasures").delete().in_("id", some))


def _admission(new: NewSession, limits: Limits) -> dict[str, object]:
    """What decides whether a session may be created."""
    return {
        "p_user_id": new.user_id,
        "p_garment_id": new.garment_id,
        "p_idempotency_key": new.idempotency_key,
        "p_fingerprint": new.fingerprint,
        "p_max_unfinished": limits.unfinished_per_user,
        "p_max_per_day": limits.per_day_per_user,
        "p_max_waiting": limits.waiting,
        "p_paid_cap": limits.paid_per_day,
    }


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


def _session(row: Row, bucket: str) -> Session:
    garment, task = row.get("garment"), row.get("task")
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        garment_id=row["garment_id"],
        photo=row["original_user_image_url"],
        result=row["result_image_url"],
        status=Status(row["status"]),
        error_message=row["error_message"],
        error_code=row["error_code"],
        created_at=datetime.fromisoformat(row["created_at"]),
        garment=_session_garment(garment, bucket) if garment else None,
        task=_task(task) if task else None,
    )


def _task(row: Row) -> ProviderTask | None:
    """The task of a session's claim; None while the claim's submit has not been accepted."""
    if row["task_id"] is None:
        return None
    return ProviderTask(row["provider"], row["task_id"], row["status_url"])


def _session_garment(row: Row, bucket: str) -> Garment:
    picture = garment_picture(row["image_url"], bucket)
    return Garment(row["id"], row["name"], row["brand"], row["category"], picture)
