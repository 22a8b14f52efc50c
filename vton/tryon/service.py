"""The rules of what users do with try-ons; they know no framework.

The order of things is what keeps photos and money safe. A new try-on is row, photo, job:
every object has a row that names it, and what fails in between is undone at once. A delete
is row first, so that the session is invisible at once and a late result finds no row.
"""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import uuid4

from vton.errors import Problem, Unavailable
from vton.imaging import normalise_photo
from vton.tryon.model import Session, photo_path
from vton.tryon.ports import (
    Breaker,
    Jobs,
    NameTaken,
    PaidCapReached,
    Pictures,
    Sessions,
    SignedUrl,
    UnknownGarment,
    UnknownUser,
)

logger = logging.getLogger(__name__)

PHOTO_NAME_TRIES = 20
"""How many milliseconds a photo's name may move when the user's own photos collide."""


class TryOns:
    """What users do with try-ons. `paid_cap` is the day's cap of paid calls, 0 for none."""

    def __init__(
        self,
        sessions: Sessions,
        pictures: Pictures,
        jobs: Jobs,
        breaker: Breaker,
        paid_cap: int,
    ) -> None:
        self._sessions = sessions
        self._pictures = pictures
        self._jobs = jobs
        self._breaker = breaker
        self._paid_cap = paid_cap

    def create(self, user_id: str, garment_id: str, photo: bytes) -> str:
        """Start a try-on and return its session's id.

        `photo` is the file as uploaded. Raises Problem; then nothing is left of it.
        """
        if seconds := self._breaker.paused_for():
            raise Problem("provider_paused", retry_after=seconds)
        jpeg = normalise_photo(photo)
        now_ms = time.time_ns() // 1_000_000
        for timestamp_ms in range(now_ms, now_ms + PHOTO_NAME_TRIES):
            try:
                return self._begin(user_id, garment_id, photo_path(user_id, timestamp_ms), jpeg)
            except NameTaken:
                continue  # the user's own photo of the same millisecond
        raise Unavailable

    def find(self, user_id: str, session_id: str) -> Session:
        """Return the user's session. Raises Problem `session_not_found`."""
        session = self._sessions.find(session_id, user_id)
        if session is None:
            raise Problem("session_not_found")
        return session

    def history(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[Session]:
        """Return the user's ended sessions, newest first, from behind `before` on."""
        return self._sessions.history(user_id, limit, before)

    def signed(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        """Return a URL for each of a session's pictures that is there."""
        return self._pictures.sign(paths)

    def delete(self, user_id: str, session_id: str) -> None:
        """Delete a session in any state, with its pictures and its job.

        Raises Problem `session_not_found`. The row's trigger has noted the pictures in
        `erasures`, so one that cannot be removed now is not forgotten.
        """
        session = self._sessions.delete(session_id, user_id)
        if session is None:
            raise Problem("session_not_found")
        logger.info("session=%s deleted", session_id)
        if not session.status.ended:
            with suppress(Unavailable):  # a run that is not told finds no row in the end
                self._jobs.cancel(session_id)
        try:
            self._pictures.remove([session.photo, session.result_path])
        except Unavailable:
            logger.warning("session=%s pictures stay for the sweep", session_id)

    def _begin(self, user_id: str, garment_id: str, photo: str, jpeg: bytes) -> str:
        """Row, photo, job; undone if one of them fails, or may have failed."""
        session_id = str(uuid4())
        try:
            self._create_row(session_id, user_id, garment_id, photo)
            self._pictures.put(photo, jpeg, "image/jpeg", replace=False)
            self._jobs.enqueue(session_id)
        except Problem as problem:
            if problem.kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._undo(session_id, user_id)
            raise  # any other was said before anything was written
        except Exception:
            self._undo(session_id, user_id)
            raise
        logger.info("session=%s queued, photo of %d bytes", session_id, len(jpeg))
        return session_id

    def _create_row(self, session_id: str, user_id: str, garment_id: str, photo: str) -> None:
        try:
            self._sessions.create(session_id, user_id, garment_id, photo, self._paid_cap)
        except UnknownGarment:
            errors = {"garmentId": ["There is no such garment."]}
            raise Problem("invalid_fields", errors=errors) from None
        except UnknownUser:
            raise Problem("token_invalid") from None
        except PaidCapReached:
            raise Problem("paid_cap_reached", retry_after=_seconds_until_midnight()) from None

    def _undo(self, session_id: str, user_id: str) -> None:
        """Take back what was begun. What cannot be now is found by the sweep."""
        try:
            self.delete(user_id, session_id)
        except Unavailable:
            logger.warning("session=%s could not be undone", session_id)
        except Problem:
            logger.info("session=%s was never there", session_id)


def _seconds_until_midnight() -> int:
    """Seconds until the next day begins in UTC, when the paid calls are counted anew."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return int((midnight - now).total_seconds()) + 1
