"""The rules of a try-on; they know no framework.

The order of things is what keeps photos and money safe. A new try-on is row, photo, job:
every object has a row that names it, and what fails in between is undone at once. A delete
is row first, so that the session is invisible at once and a late result finds no row.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import TypeVar
from uuid import uuid4

from vton.errors import Problem, Unavailable
from vton.imaging import normalise_photo
from vton.tryon.model import ProviderTask, Session, photo_path
from vton.tryon.ports import (
    Jobs,
    Later,
    NameTaken,
    Never,
    PictureMissing,
    Pictures,
    Provider,
    Sessions,
    SignedUrl,
    UnknownGarment,
    UnknownUser,
    Waiting,
)

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long to wait after each failed call in a row; the last one repeats."""


RETRY_SECONDS = 3.0
"""How long to wait for a database that is away."""
PHOTO_NAME_TRIES = 20
"""How many milliseconds a photo's name may move when the user's own photos collide."""

T = TypeVar("T")


class Interrupted(Exception):
    """The process is asked to end while the session waits; another worker resumes it."""


class Cancelled(Exception):
    """The session was deleted while it ran."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When to look, in seconds: after the submit, between looks, and when to give up."""

    first_poll: float
    poll_interval: float
    deadline: float


class TryOns:
    """Everything that can be done with try-ons, by the web process and by the worker."""

    def __init__(
        self,
        sessions: Sessions,
        pictures: Pictures,
        jobs: Jobs,
        provider: Provider,
        waiting: Waiting,
        timing: Timing,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = sessions
        self._pictures = pictures
        self._jobs = jobs
        self._provider = provider
        self._waiting = waiting
        self._timing = timing
        self._now = now

    # -- what users do -------------------------------------------------------------------

    def create(self, user_id: str, garment_id: str, photo: bytes) -> str:
        """Start a try-on and return its session's id.

        `photo` is the file as uploaded. Raises Problem; then nothing is left of it.
        """
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
        try:
            if not session.status.ended:
                self._jobs.cancel(session_id)
            self._pictures.remove([session.photo, session.result_path])
        except Unavailable:
            logger.warning("session=%s pictures stay for the sweep", session_id)

    # -- what the worker does ------------------------------------------------------------

    def run(self, session_id: str) -> None:
        """Take a session from the queue to its end. May run twice; may resume another run.

        Raises Interrupted when the process is asked to end first; the session goes on in
        another worker.
        """
        session = self._claim(session_id)
        if session is None:
            logger.info("session=%s has ended or is gone", session_id)
            return
        try:
            self._make_picture(session)
        except Cancelled:
            logger.info("session=%s deleted while it ran", session_id)
        except Never as failure:
            logger.warning("session=%s %s: %s", session_id, failure.code, failure)
            self._end(session_id, failure.code)
        except Interrupted:
            raise
        except Exception:
            logger.exception("session=%s broke", session_id)
            self._end(session_id, "interrupted")

    def _claim(self, session_id: str) -> Session | None:
        return self._insist(lambda: self._sessions.claim(session_id))

    def _end(self, session_id: str, code: str) -> None:
        self._insist(lambda: self._sessions.fail(session_id, code))

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call to the database again until it is there."""
        while True:
            try:
                return call()
            except Unavailable:
                if self._waiting.wait(RETRY_SECONDS):
                    raise Interrupted from None

    def _make_picture(self, session: Session) -> None:
        task = session.task or self._submit(session)
        url = self._await_result(session, task)
        picture = self._repeat(session, lambda: self._provider.fetch(url))
        self._finish(session, picture)

    def _submit(self, session: Session) -> ProviderTask:
        if session.garment is None:
            raise Never("garment_missing", "the garment was removed from the shop")
        garment = session.garment.picture
        try:
            task = self._repeat(session, lambda: self._provider.submit(session.photo, garment))
        except PictureMissing as missing:
            raise Never("interrupted", f"no object {missing}") from None
        self._repeat(session, lambda: self._sessions.keep_task(session.id, task))
        logger.info("session=%s submitted, task=%s", session.id, task.id)
        self._pause(session, self._timing.first_poll)
        return task

    def _await_result(self, session: Session, task: ProviderTask) -> str:
        while True:
            progress = self._repeat(session, lambda: self._provider.look(task))
            if progress.failure is not None:
                raise Never(progress.failure, f"task {task.id} failed")
            if progress.result_url is not None:
                return progress.result_url
            self._pause(session, self._timing.poll_interval)

    def _finish(self, session: Session, picture: bytes) -> None:
        """Store the picture, then say so; a picture whose row went meanwhile is removed."""
        path = session.result_path
        self._repeat(session, lambda: self._pictures.put(path, picture, "image/png", replace=True))
        if self._repeat(session, lambda: self._sessions.succeed(session.id, path)):
            logger.info("session=%s success", session.id)
        elif not self._repeat(session, lambda: self._sessions.exists(session.id)):
            self._pictures.remove([path])
            raise Cancelled

    def _repeat(self, session: Session, call: Callable[[], T]) -> T:
        """Make a call again, ever later, while it says Later or what it needs is away."""
        for backoff in chain(BACKOFF_SECONDS, repeat(BACKOFF_SECONDS[-1])):
            try:
                return call()
            except (Later, Unavailable) as fault:
                pause = getattr(fault, "retry_after", None) or backoff
                logger.warning("session=%s %s; again in %g s", session.id, fault, pause)
                self._pause(session, pause)
        raise AssertionError("unreachable")

    def _pause(self, session: Session, seconds: float) -> None:
        """Wait, within the session's deadline, and look whether it is still wanted."""
        left = self._timing.deadline - (self._now() - session.created_at).total_seconds()
        if left <= 0:
            raise Never("deadline_exceeded", f"older than {self._timing.deadline:g} s")
        if self._waiting.wait(min(seconds, left)):
            raise Interrupted
        if self._jobs.cancelled(session.id):
            raise Cancelled

    # -- how a try-on begins -------------------------------------------------------------

    def _begin(self, user_id: str, garment_id: str, photo: str, jpeg: bytes) -> str:
        """Row, photo, job; undone if one of them fails."""
        session_id = str(uuid4())
        self._create_row(session_id, user_id, garment_id, photo)
        try:
            self._pictures.put(photo, jpeg, "image/jpeg", replace=False)
            self._jobs.enqueue(session_id)
        except (NameTaken, Unavailable):
            self._undo(session_id, user_id)
            raise
        logger.info("session=%s queued, photo of %d bytes", session_id, len(jpeg))
        return session_id

    def _create_row(self, session_id: str, user_id: str, garment_id: str, photo: str) -> None:
        try:
            self._sessions.create(session_id, user_id, garment_id, photo)
        except UnknownGarment:
            errors = {"garmentId": ["There is no such garment."]}
            raise Problem("invalid_fields", errors=errors) from None
        except UnknownUser:
            raise Problem("token_invalid") from None

    def _undo(self, session_id: str, user_id: str) -> None:
        """Take back what was begun. What cannot be now is found by the sweep."""
        try:
            self.delete(user_id, session_id)
        except (Problem, NameTaken):
            logger.warning("session=%s could not be undone", session_id)
