"""The rules of what users do with try-ons; they know no framework.

The order of things is what keeps photos and money safe. A new try-on is row, photo, job:
every object has a row that names it, and what fails in between is undone at once. A delete
is row first, so that the session is invisible at once and a late result finds no row.
"""

import hashlib
import logging
import math
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from vton.errors import Problem, Unavailable
from vton.imaging import normalise_photo
from vton.tryon.model import Look, Session, Status, photo_path, result_path
from vton.tryon.ports import (
    Admission,
    Breaker,
    Jobs,
    Limits,
    NameTaken,
    NewSession,
    Pictures,
    Sessions,
    SignedUrl,
    Statuses,
    Typical,
    UnknownGarment,
    UnknownUser,
)

logger = logging.getLogger(__name__)

TAKING_SECONDS = 60.0
"""So long a request may still be working on the session that it has begun."""
PHOTO_NAME_TRIES = 20
"""How many milliseconds a photo's name may move when the user's own photos collide."""


@dataclass(frozen=True, slots=True)
class Started:
    """A try-on that a request has started, or has been found to have started before."""

    session_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a session. `eta` is in seconds, None where it cannot be told; `result` opens
    the picture of a success, if a URL is at hand.
    """

    look: Look
    eta: int | None
    result: SignedUrl | None

    @property
    def needs_url(self) -> bool:
        """Whether there is a picture and no URL at hand that opens it."""
        return self.look.status is Status.SUCCESS and self.result is None


class TryOns:
    """What users do with try-ons."""

    def __init__(
        self,
        sessions: Sessions,
        pictures: Pictures,
        jobs: Jobs,
        statuses: Statuses,
        breaker: Breaker,
        limits: Limits,
    ) -> None:
        self._sessions = sessions
        self._pictures = pictures
        self._jobs = jobs
        self._statuses = statuses
        self._breaker = breaker
        self._limits = limits

    def create(
        self, user_id: str, garment_id: str, photo: bytes, key: str | None = None
    ) -> Started:
        """Start a try-on, or find the one that this `key` of the user's has started before.

        `photo` is the file as uploaded. Raises Problem; then nothing is left of it.
        """
        if seconds := self._breaker.paused_for():
            raise Problem("provider_paused", retry_after=seconds)
        jpeg = normalise_photo(photo, user_id)
        fingerprint = hashlib.sha256(garment_id.encode() + photo).hexdigest()
        now_ms = time.time_ns() // 1_000_000
        for timestamp_ms in range(now_ms, now_ms + PHOTO_NAME_TRIES):
            path = photo_path(user_id, timestamp_ms)
            new = NewSession(str(uuid4()), user_id, garment_id, path, key, fingerprint)
            try:
                return self._begin(new, jpeg)
            except NameTaken:
                continue  # the user's own photo of the same millisecond
        raise Unavailable

    def glance(self, user_id: str, session_id: str) -> Seen | None:
        """Return the same as `look`, where nothing has to be asked but Redis, once."""
        kept = self._statuses.find(user_id, session_id)
        if kept.look is None:
            return None
        seen = Seen(kept.look, _eta(kept.look, kept.typical), kept.result)
        return None if seen.needs_url else seen

    def look(self, user_id: str, session_id: str) -> Seen:
        """Return how the user's session is getting on; the database is asked if need be.

        Raises Problem `session_not_found`.
        """
        kept = self._statuses.find(user_id, session_id)
        look = kept.look
        if look is None:
            session = None if kept.deleted else self._sessions.find(session_id, user_id)
            if session is None:
                raise Problem("session_not_found")
            look = session.look
            self._statuses.fill(user_id, session_id, look)
        return Seen(look, _eta(look, kept.typical), kept.result)

    def opened(self, seen: Seen, user_id: str, session_id: str) -> Seen:
        """Return the look with a URL that opens the session's picture, if that is there."""
        path = result_path(user_id, session_id)
        return replace(seen, result=self._pictures.sign([path]).get(path))

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
        self._statuses.mark_deleted(user_id, session_id)
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

    def _begin(self, new: NewSession, jpeg: bytes) -> Started:
        """Row, photo, job; undone if one of them fails, or may have failed."""
        try:
            earlier = self._create_row(new)
            if earlier is not None and self._sessions.find(earlier, new.user_id) is None:
                # Deleted by its user; or undone just now, and its key is free again.
                earlier = self._create_row(new)
        except Unavailable:
            self._undo(new, [])
            raise
        if earlier is not None:
            return self._replay(new.user_id, earlier)
        try:
            self._pictures.put(new.photo, jpeg, "image/jpeg", replace=False)
            self._jobs.enqueue(new.user_id, new.id)
        except Exception:
            self._undo(new, [new.photo])
            raise
        logger.info("session=%s queued, photo of %d bytes", new.id, len(jpeg))
        return Started(new.id, replayed=False)

    def _create_row(self, new: NewSession) -> str | None:
        """Insert the session; returns the id of an earlier one that the key has started."""
        try:
            admission, session_id = self._sessions.create(new, self._limits)
        except UnknownGarment:
            errors = {"garmentId": ["There is no such garment."]}
            raise Problem("invalid_fields", errors=errors) from None
        except UnknownUser:
            raise Problem("token_invalid") from None
        if admission is Admission.CREATED:
            return None
        if admission is Admission.REPLAY:
            return session_id
        raise _not_admitted(admission)

    def _replay(self, user_id: str, session_id: str) -> Started:
        """The same answer once more, unless the first request is still being worked on."""
        session = self._sessions.find(session_id, user_id)
        if session is not None and session.status is Status.QUEUED:
            age = (datetime.now(UTC) - session.created_at).total_seconds()
            if age < TAKING_SECONDS and not self._jobs.known(session_id):
                raise Problem("idempotency_in_progress", retry_after=1)
        return Started(session_id, replayed=True)

    def _undo(self, new: NewSession, pictures: list[str]) -> None:
        """Take back what was begun. What cannot be now is told to the sweep.

        The client was told to try again: the sweep must not run what they may start anew.
        """
        try:
            self._sessions.undo(new.id)
            self._pictures.remove(pictures)
        except Unavailable:
            logger.warning("session=%s could not be undone", new.id)
            with suppress(Unavailable):
                self._jobs.cancel(new.id)


def _eta(look: Look, typical: Typical | None) -> int | None:
    """Seconds until the picture is there, if this try-on is like the last ones.

    None once it has ended, while too few have ended, and when it takes longer than they did.
    """
    if look.status.ended or typical is None:
        return None
    if look.began_at is not None:
        expected_at = look.began_at + typical.run
    elif look.queued_at is not None:
        expected_at = look.queued_at + typical.wait + typical.run
    else:
        return None
    seconds = math.ceil(expected_at - time.time())
    return seconds if seconds > 0 else None


def _not_admitted(admission: Admission) -> Problem:
    """What a client is told that may not start a session now."""
    if admission is Admission.UNFINISHED:
        return Problem("too_many_unfinished", retry_after=5, policy="unfinished")
    if admission is Admission.QUOTA:
        return Problem("daily_quota", retry_after=_seconds_until_midnight(), policy="daily")
    if admission is Admission.PAID_CAP:
        return Problem("paid_cap_reached", retry_after=_seconds_until_midnight())
    if admission is Admission.BUSY:
        return Problem("busy", retry_after=10)
    return Problem("idempotency_mismatch")


def _seconds_until_midnight() -> int:
    """Seconds until the next day begins in UTC, when the paid calls are counted anew."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return int((midnight - now).total_seconds()) + 1
