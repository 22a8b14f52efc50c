"""What the operator asks the database; its answers are made by the migrations' functions."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from supabase import AuthError, Client

from vton.adapters.supabase.client import unavailable_when_away
from vton.adapters.supabase.garments import GarmentRows, garment_picture
from vton.adapters.supabase.rows import PAGE_ROWS, Row, batches, call, rows
from vton.errors import Unavailable
from vton.garments.model import thumbnail_path
from vton.operations.model import DatabaseOverview, Facts
from vton.tryon.ports.pauses import Pause

KEPT_SECONDS = 5.0
"""So long after it has begun or ended, a pause may not be known to all processes."""


class PauseRows:
    """Implements `vton.operations.ports.Pauses`."""

    def __init__(self, client: Client, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._kept: tuple[float, Pause | None] = (float("-inf"), None)

    def _table(self) -> Any:
        return self._client.table("pauses")

    def current(self) -> Pause | None:
        until, pause = self._kept
        if self._now() >= until:
            found = rows(self._table().select("*").or_("until.is.null,until.gt.now"))
            pause = _pause(found[0]) if found else None
            self._kept = self._now() + KEPT_SECONDS, pause
        return pause

    def begin(self, until: datetime | None, message: str | None) -> None:
        row = {
            "one": True,
            "since": "now",
            "until": until and until.isoformat(),
            "message": message,
        }
        rows(self._table().upsert(row))

    def end(self) -> bool:
        return bool(rows(self._table().delete().eq("one", True)))


def _pause(row: Row) -> Pause:
    until = row["until"]
    return Pause(
        datetime.fromisoformat(row["since"]),
        datetime.fromisoformat(until) if until else None,
        row["message"],
    )


class RecordRows:
    """Implements `vton.operations.ports.Records`."""

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def overview(self) -> DatabaseOverview:
        found = _facts(call(self._client, "overview", {}))  # a later release's has more in it
        return DatabaseOverview(**{one.name: found[one.name] for one in fields(DatabaseOverview)})

    def stats(self, days: int) -> Facts:
        return _facts(call(self._client, "stats", {"p_days": days}))

    def timeline(self, session_id: str) -> Facts:
        arguments = {"p_id": session_id, "p_bucket": self._bucket}
        return _facts(call(self._client, "session_timeline", arguments))

    def sessions(
        self, since: datetime, user_id: str | None, *, failed: bool, limit: int
    ) -> Sequence[Facts]:
        query = self._client.table("session_log").select("*").gte("accepted_at", since.isoformat())
        if user_id is not None:
            query = query.eq("user_id", user_id)
        if failed:
            query = query.not_.in_("outcome", ["success", "deleted"])
        return rows(query.order("accepted_at", desc=True).limit(limit))

    def sessions_of(self, user_id: str) -> Sequence[str]:
        ids: list[str] = []
        while True:
            query = self._client.table("try_on_history").select("id").eq("user_id", user_id)
            found = rows(query.order("id").range(len(ids), len(ids) + PAGE_ROWS - 1))
            if not found:
                return ids
            ids += [row["id"] for row in found]

    def objects_of(self, user_id: str) -> Sequence[str]:
        arguments = {"p_user_id": user_id, "p_bucket": self._bucket}
        return _all(call(self._client, "objects_of_user", arguments))

    def forget_user(self, user_id: str) -> None:
        call(self._client, "forget_user", {"p_user_id": user_id})

    def delete_account(self, user_id: str) -> bool:
        with unavailable_when_away():
            try:
                self._client.auth.admin.delete_user(user_id)
            except AuthError as error:
                if getattr(error, "status", None) == 404:
                    return False
                raise Unavailable(f"Supabase Auth does not do it ({error.code})") from None
        return True

    def stray_objects(self) -> Sequence[Facts]:
        return _all(call(self._client, "stray_objects", {"p_bucket": self._bucket}))

    def missing_objects(self) -> Sequence[Facts]:
        return _all(call(self._client, "missing_objects", {"p_bucket": self._bucket}))

    def faults(self) -> Sequence[str]:
        return _all(call(self._client, "installation_faults", {"p_bucket": self._bucket}))


def _all(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise Unavailable("the database does not answer")
    return answer


def _facts(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise Unavailable("the database does not answer")
    return answer


class GarmentRemover:
    """Implements `vton.operations.ports.GarmentRemoval`."""

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def remove(self, ids: Collection[str]) -> Sequence[str]:
        gone: set[str] = set()
        for some in batches(ids):
            removed = rows(self._client.table("garments").delete().in_("id", some))
            gone |= {garment_picture(row["image_url"], self._bucket) for row in removed}
        left = GarmentRows(self._client, self._bucket).list(None, None, None)
        mine = {path for path in gone if path.startswith("garments/")}
        pictures = sorted(mine - {one.picture for one in left})
        return [path for picture in pictures for path in (picture, thumbnail_path(picture))]
