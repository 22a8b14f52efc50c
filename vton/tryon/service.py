"""The rules of what users do with try-ons; they know no framework.

The order of things is what keeps photos and money safe. A new try-on is row, photo, job:
every object has a row that names it, and what fails in between is undone at once. A delete
is row first, so that the session is invisible at once and a late result finds no row.
"""

import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from vton.deadline import within
from vton.errors import Problem, Unavailable
from vton.single_flight import SingleFlight
from vton.tryon.admission import refusal
from vton.tryon.answers import (
    HistoryEntry,
    PicturedGarment,
    Started,
    StatusView,
    eta_of,
    pictures_of,
)
from vton.tryon.model import (
    Garment,
    Session,
    SessionState,
    Status,
    own_pictures,
    photo_path,
    result_path,
    thumbnail_path,
)
from vton.tryon.ports.clock import Clock
from vton.tryon.ports.database import (
    Admission,
    Limits,
    NewSession,
    Sessions,
    UnknownGarment,
    UnknownUser,
)
from vton.tryon.ports.photos import PhotoNormaliser
from vton.tryon.ports.queue import CircuitBreaker, Jobs, StatusCache
from vton.tryon.ports.storage import NameTaken, PictureRefused, Pictures

logger = logging.getLogger(__name__)

STARTING_SECONDS = 60.0
"""So long a request may still be working on the session that it has begun."""
REPLAY_TRIES = 20
REPLAY_PAUSE_SECONDS = 0.25
"""A second tap waits so often, and so long each time, for the first to be taken."""
UNDO_SECONDS = 5.0
LOOKUP_SECONDS = 10.0
"""How old what the database says of a status may be."""
PHOTO_NAME_TRIES = 20
"""How many milliseconds a photo's name may move when the user's own photos collide."""


@dataclass(frozen=True, kw_only=True)
class TryOns:
    """What users do with try-ons."""

    sessions: Sessions
    pictures: Pictures
    photos: PhotoNormaliser
    jobs: Jobs
    status_cache: StatusCache
    circuit_breaker: CircuitBreaker
    clock: Clock
    limits: Limits
    _lookups: SingleFlight[SessionState | None] = field(default_factory=SingleFlight)

    def create(
        self, user_id: str, garment_id: str, photo: bytes, idempotency_key: str | None = None
    ) -> Started:
        """Start a try-on, or find the one that this `idempotency_key` of the user's started.

        Found, too, is one of the same photo and garment that has not ended: a second tap is no
        second try-on. `photo` is the file as uploaded. Raises Problem; then nothing is left of it.
        """
        if seconds := self.circuit_breaker.paused_for():
            raise Problem("provider_paused", retry_after=seconds)
        fingerprint = hashlib.sha256(garment_id.encode() + photo).hexdigest()
        now_ms = int(self.clock.now().timestamp() * 1000)
        path = photo_path(user_id, now_ms)
        new = NewSession(str(uuid4()), user_id, garment_id, path, idempotency_key, fingerprint)
        if self.photos.may_take_long(photo) and (earlier := self._check(new)):
            return Started(earlier, replayed=True)
        jpeg = self.photos.normalise_photo(photo, user_id)
        for timestamp_ms in range(now_ms, now_ms + PHOTO_NAME_TRIES):
            new = replace(new, id=str(uuid4()), photo=photo_path(user_id, timestamp_ms))
            try:
                return self._begin(new, jpeg)
            except NameTaken:
                continue  # the user's own photo of the same millisecond
        raise Unavailable

    def cached_status(self, user_id: str, session_id: str) -> StatusView | None:
        """Return what `status` does where only Redis has to be asked, once; else None."""
        cached = self.status_cache.find(user_id, session_id)
        if cached.state is None:
            return None
        eta = eta_of(cached.state, cached.typical, self.clock.now())
        view = StatusView(cached.state, eta, cached.result, cached.thumbnail)
        return None if view.needs_url else view

    def status(self, user_id: str, session_id: str) -> StatusView:
        """Return how the user's session is getting on; the database is asked if need be.

        Raises Problem `session_not_found`.
        """
        cached = self.status_cache.find(user_id, session_id)
        state = cached.state
        if state is None and not cached.deleted:
            state = self._lookups.do(
                (user_id, session_id), lambda: self._look_up(user_id, session_id)
            )
        if state is None:
            raise Problem("session_not_found")
        eta = eta_of(state, cached.typical, self.clock.now())
        return StatusView(state, eta, cached.result, cached.thumbnail)

    def _look_up(self, user_id: str, session_id: str) -> SessionState | None:
        """Return what the database says of a session, or what has been said since it was asked.

        An answer that took too long may be of a time whose end is known to nobody any more.
        """
        began = self.clock.monotonic()
        with within(LOOKUP_SECONDS):
            session = self.sessions.find(session_id, user_id)
        if session is None:
            return None
        if self.clock.monotonic() - began > LOOKUP_SECONDS:
            raise Unavailable("the database was too slow")
        return self.status_cache.fill(user_id, session_id, session.state)

    def with_result_url(self, view: StatusView, user_id: str, session_id: str) -> StatusView:
        """Return the view with a URL that opens the session's picture, if that is there."""
        path = result_path(user_id, session_id)
        thumbnail = thumbnail_path(path)
        signed = self.pictures.sign([path, thumbnail])
        return replace(view, result=signed.get(path), thumbnail=signed.get(thumbnail))

    def history(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[Session]:
        """Return the user's ended sessions, newest first, from behind `before` on."""
        return self.sessions.history(user_id, limit, before)

    def with_urls(self, sessions: Sequence[Session]) -> list[HistoryEntry]:
        """Return each session with URLs that open its pictures."""
        signed = self.pictures.sign({path for one in sessions for path in pictures_of(one)})

        def url(path: str | None) -> str | None:
            return signed[path].url if path and path in signed else None

        def garment(of: Garment | None) -> PicturedGarment | None:
            return PicturedGarment(of, url(of.picture)) if of else None

        return [
            HistoryEntry(
                one,
                url(one.photo),
                url(one.result),
                url(thumbnail_path(one.result)) if one.result else None,
                garment(one.garment),
            )
            for one in sessions
        ]

    def delete(self, user_id: str, session_id: str) -> None:
        """Delete a session in any state, with its pictures and its job.

        Raises Problem `session_not_found`. The row's trigger has noted the pictures in
        `erasures`, so one that cannot be removed now is not forgotten.
        """
        try:
            session, tried_before = self.sessions.delete(session_id, user_id), False
        except Unavailable:  # it may have been done, and only the answer be lost
            session, tried_before = self.sessions.delete(session_id, user_id), True
        self.status_cache.mark_deleted(user_id, session_id)
        if session is None and not (tried_before and self.sessions.status(session_id) is None):
            raise Problem("session_not_found")  # or it is somebody else's
        logger.info("session=%s deleted", session_id)
        if session is None or not session.status.ended:
            with suppress(Unavailable):  # a run that is not told finds no row in the end
                self.jobs.cancel(session_id)
        pictures = own_pictures(session) if session else []
        try:
            path = result_path(user_id, session_id)
            self.pictures.remove({*pictures, path, thumbnail_path(path)})
        except Unavailable:
            logger.warning("session=%s pictures stay for the sweep", session_id)

    # -- a new session -------------------------------------------------------------------

    def _begin(self, new: NewSession, jpeg: bytes) -> Started:
        """Make row, photo and job; undo it if one of them fails, or may have failed."""
        try:
            earlier = self._create_row(new)
            if earlier is not None and not self._is_taken(new.user_id, earlier):
                # Deleted by its user; or undone just now, and its key is free again.
                earlier = self._create_row(new)
        except Unavailable:
            self._undo(new, [])
            raise
        if earlier is not None:
            return Started(earlier, replayed=True)
        try:
            self.pictures.put(new.photo, jpeg, "image/jpeg", replace=False)
            self.jobs.enqueue(new.user_id, new.id)
        except PictureRefused:
            self._undo(new, [])
            raise Unavailable from None
        except Exception:
            if self._undo(new, [new.photo]):
                raise
            logger.warning("session=%s was submitted before it could be undone", new.id)
        logger.info("session=%s queued, photo of %d bytes", new.id, len(jpeg))
        return Started(new.id, replayed=False)

    def _check(self, new: NewSession) -> str | None:
        """Find out whether the session may be begun, before its photo is decoded, which costs.

        Return the id of an earlier one that is the same, and was taken. One with a key is not
        answered here: that it is this key's, too, is recorded where it would be created.
        """
        with _told():
            found = self.sessions.check(new, self.limits)
        earlier = self._earlier(*found) if found else None
        if earlier is None or new.idempotency_key is not None:
            return None
        return earlier if self._is_taken(new.user_id, earlier) else None

    def _create_row(self, new: NewSession) -> str | None:
        """Insert the session. Return the id of an earlier one that the key has started."""
        with _told():
            admission, session_id = self.sessions.create(new, self.limits)
        return None if admission is Admission.CREATED else self._earlier(admission, session_id)

    def _earlier(self, admission: Admission, session_id: str | None) -> str | None:
        """Return the id of an earlier session, or raise the Problem of a refusal."""
        if admission is Admission.REPLAY:
            return session_id
        raise refusal(admission, self.clock.now())

    def _is_taken(self, user_id: str, session_id: str) -> bool:
        """Return whether an earlier request's session is there for good, False if it is gone.

        While that request is still being worked on, wait for what comes of it, for some seconds. So
        long as it could not be undone the sweep will do it, and then its key is free.
        """
        for _ in range(REPLAY_TRIES):
            session = self.sessions.find(session_id, user_id)
            if session is None:
                return False
            age = (self.clock.now() - session.created_at).total_seconds()
            begun = session.status is not Status.QUEUED or age >= STARTING_SECONDS
            if (begun or self.jobs.exists(session_id)) and not self.jobs.cancelled(session_id):
                return True
            self.clock.sleep(REPLAY_PAUSE_SECONDS)
        raise Problem("idempotency_in_progress", retry_after=1)

    def _undo(self, new: NewSession, pictures: Collection[str]) -> bool:
        """Take back what was begun. What cannot be now is told to the sweep.

        The client is told to try again: the sweep must not run what they may start anew. False if
        there is nothing to take back any more, as it was submitted, and is paid for.
        """
        try:
            with within(UNDO_SECONDS):  # the request's own time may be over
                if not self.sessions.undo(new.id):
                    return False
                self.pictures.remove(pictures)
        except Unavailable:
            logger.warning("session=%s could not be undone", new.id)
            with suppress(Unavailable):
                self.jobs.cancel(new.id)
        return True


@contextmanager
def _told() -> Iterator[None]:
    """Raise the Problem of what a new session names and is not there."""
    try:
        yield
    except UnknownGarment:
        errors = {"garmentId": ["There is no such garment."]}
        raise Problem("invalid_fields", errors=errors) from None
    except UnknownUser:
        raise Problem("token_invalid") from None
