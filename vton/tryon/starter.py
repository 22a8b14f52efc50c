"""Starts try-ons, within all limits; it knows no framework.

The order of things is what keeps photos and money safe. A new try-on is row, photo, job:
every object has a row that names it, and what fails in between is undone at once.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from vton.deadline import within
from vton.errors import REASONS, Problem, Reason, Unavailable
from vton.tryon.admission import refusal
from vton.tryon.answers import Started
from vton.tryon.model import Status, photo_path
from vton.tryon.ports.clock import Clock
from vton.tryon.ports.database import (
    Admission,
    Limits,
    NewSession,
    PhotoSource,
    Sessions,
    UnknownGarment,
    UnknownUser,
)
from vton.tryon.ports.pauses import Pauses
from vton.tryon.ports.photos import PhotoNormaliser
from vton.tryon.ports.queue import CircuitBreaker, Jobs
from vton.tryon.ports.storage import NameTaken, PictureMissing, PictureRefused, Pictures

logger = logging.getLogger(__name__)

STARTING_SECONDS = 60.0
"""So long a request may still be working on the session that it has begun."""
REPLAY_TRIES = 20
REPLAY_PAUSE_SECONDS = 0.25
"""A second tap waits so often, and so long each time, for the first to be taken."""
UNDO_SECONDS = 5.0
MOST_PAUSE_SECONDS = 60
"""A client is asked to come back within so long: a pause may end before it was meant to."""
PHOTO_NAME_TRIES = 20
"""How many milliseconds a photo's name may move when the user's own photos collide."""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """Starts try-ons."""

    sessions: Sessions
    pictures: Pictures
    photos: PhotoNormaliser
    jobs: Jobs
    circuit_breaker: CircuitBreaker
    pauses: Pauses
    clock: Clock
    limits: Limits

    def start(
        self, user_id: str, garment_id: str, photo: bytes, idempotency_key: str | None = None
    ) -> Started:
        """Start a try-on, or find the one that this `idempotency_key` of the user's started.

        Found, too, is one of the same photo and garment that has not ended: a second tap is no
        second try-on. `photo` is the file as uploaded. Raises Problem; then nothing is left of it.
        """
        new = self._new(user_id, garment_id, photo, idempotency_key)
        if self.photos.may_take_long(photo) and (earlier := self._check(new)):
            return Started(earlier, replayed=True)
        jpeg = self.photos.normalise_photo(photo, user_id)
        return self._begin(new, self._storer(jpeg))

    def start_with_photo_of(
        self, user_id: str, garment_id: str, session_id: str, idempotency_key: str | None = None
    ) -> Started:
        """Do the same with the photo of another of the user's sessions, which is copied."""
        source = self.sessions.photo_source(session_id, user_id)
        new = self._new(user_id, garment_id, f"photoOf={session_id}".encode(), idempotency_key)
        if source and source.fingerprint and source.garment_id == garment_id:
            # The very same, as if it were uploaded again: a second tap while it is under way.
            new = replace(new, fingerprint=source.fingerprint)
        try:
            if source is None:
                raise PictureMissing(session_id)
            return self._begin(new, self._copier(source, user_id))
        except PictureMissing:
            with _told():
                found = self.sessions.check(new, self.limits)
            admission, earlier = found or (None, None)
            if admission is Admission.REPLAY and earlier and self._is_taken(user_id, earlier):
                return Started(earlier, replayed=True)  # begun while the photo was there
            gone = Reason(REASONS["photo_gone"], "No try-on of this user whose photo is there.")
            raise Problem("invalid_fields", errors={"photoOf": [gone]}) from None

    def _copier(self, source: PhotoSource, user_id: str) -> Callable[[str], None]:
        """Return what stores the source's photo under a path. Raises PictureMissing and Problem."""
        if source.normalised:
            return lambda path: self.pictures.copy(source.photo, path)
        return self._storer(self.photos.normalise_photo(self.pictures.get(source.photo), user_id))

    def _storer(self, jpeg: bytes) -> Callable[[str], None]:
        """Return what stores a photo under a path."""
        return lambda path: self.pictures.put(path, jpeg, "image/jpeg", replace=False)

    def _new(
        self, user_id: str, garment_id: str, photo: bytes, idempotency_key: str | None
    ) -> NewSession:
        """Return what is to be begun. `photo` tells one request from another."""
        self._refuse_while_paused()
        fingerprint = hashlib.sha256(garment_id.encode() + photo).hexdigest()
        path = photo_path(user_id, self._now_ms())
        return NewSession(str(uuid4()), user_id, garment_id, path, idempotency_key, fingerprint)

    def _refuse_while_paused(self) -> None:
        """Raise Problem while the operator, or the provider for want of money, takes none."""
        if pause := self.pauses.current():
            seconds = MOST_PAUSE_SECONDS
            if pause.until is not None:
                left = (pause.until - self.clock.now()).total_seconds()
                seconds = max(1, min(seconds, int(left) + 1))
            raise Problem("paused", retry_after=seconds, message=pause.message)
        if seconds := self.circuit_breaker.paused_for():
            raise Problem("provider_paused", retry_after=seconds)

    def _now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def _begin(self, new: NewSession, store: Callable[[str], None]) -> Started:
        """Make row, photo and job. `store` stores the photo under a path that nothing has yet."""
        now_ms = self._now_ms()
        for timestamp_ms in range(now_ms, now_ms + PHOTO_NAME_TRIES):
            path = photo_path(new.user_id, timestamp_ms)
            try:
                return self._try_to_begin(replace(new, id=str(uuid4()), photo=path), store)
            except NameTaken:
                continue  # the user's own photo of the same millisecond
        raise Unavailable

    def _try_to_begin(self, new: NewSession, store: Callable[[str], None]) -> Started:
        """Make them; undo it if one of them fails, or may have failed."""
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
            store(new.photo)
            self.jobs.enqueue(new.user_id, new.id)
        except PictureRefused:
            self._undo(new, [])
            raise Unavailable from None
        except Exception:
            if self._undo(new, [new.photo]):
                raise
            logger.warning("was submitted before it could be undone", extra={"session": new.id})
        logger.info("queued", extra={"session": new.id})
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
            logger.warning("could not be undone", extra={"session": new.id})
            with suppress(Unavailable):
                self.jobs.cancel(new.id)
        return True


@contextmanager
def _told() -> Iterator[None]:
    """Raise the Problem of what a new session names and is not there."""
    try:
        yield
    except UnknownGarment:
        errors = {"garmentId": [Reason(REASONS["garment_gone"], "There is no such garment.")]}
        raise Problem("invalid_fields", errors=errors) from None
    except UnknownUser:
        raise Problem("token_invalid") from None
