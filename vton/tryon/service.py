"""The rules of what users do with the try-ons that they have started; they know no framework.

A delete is row first, so that the session is invisible at once and a late result finds no row.
"""

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from vton.deadline import within
from vton.errors import Problem, Unavailable
from vton.single_flight import SingleFlight
from vton.tryon.answers import (
    HistoryEntry,
    PicturedGarment,
    StatusView,
    eta_of,
    pictures_of,
)
from vton.tryon.model import (
    ENDED,
    Garment,
    Session,
    SessionState,
    Status,
    own_pictures,
    result_path,
    thumbnail_path,
)
from vton.tryon.ports.clock import Clock
from vton.tryon.ports.database import (
    Sessions,
)
from vton.tryon.ports.queue import Jobs, StatusCache
from vton.tryon.ports.storage import Pictures

logger = logging.getLogger(__name__)

LOOKUP_SECONDS = 10.0
"""How old what the database says of a status may be."""


@dataclass(frozen=True, kw_only=True)
class TryOns:
    """What users do with their try-ons."""

    sessions: Sessions
    pictures: Pictures
    jobs: Jobs
    status_cache: StatusCache
    clock: Clock
    _lookups: SingleFlight[SessionState | None] = field(default_factory=SingleFlight)

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
        self,
        user_id: str,
        limit: int,
        before: tuple[datetime, str] | None = None,
        statuses: Collection[Status] = ENDED,
    ) -> list[Session]:
        """Return the user's sessions of those statuses, newest first, from behind `before` on."""
        return self.sessions.history(user_id, statuses, limit, before)

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
        logger.info("deleted", extra={"session": session_id})
        if session is None or not session.status.ended:
            with suppress(Unavailable):  # a run that is not told finds no row in the end
                self.jobs.cancel(session_id)
        pictures = own_pictures(session) if session else []
        try:
            path = result_path(user_id, session_id)
            self.pictures.remove({*pictures, path, thumbnail_path(path)})
        except Unavailable:
            logger.warning("pictures stay for the sweep", extra={"session": session_id})
