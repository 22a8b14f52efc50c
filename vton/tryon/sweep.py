"""The sweep: the one recoverer, and the one that works off what has to go.

Every few seconds one of all workers makes a pass. Each step is idempotent and may meet another
pass, a living run or a user's delete at any point.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from vton import metrics
from vton.errors import Unavailable
from vton.tryon.model import Status, failed
from vton.tryon.ports.clock import Clock, Shutdown
from vton.tryon.ports.database import Erasures, Sessions, SubmitLedger, UnfinishedSession
from vton.tryon.ports.queue import Jobs, StatusCache
from vton.tryon.ports.storage import Pictures

logger = logging.getLogger(__name__)

PASS_SECONDS = 10.0
NEW_SECONDS = 20.0
"""So long a queued session's job may still be on its way from the web process."""
STALE_SUBMIT_SECONDS = 60.0
"""A submit that has had no outcome for so long is uncertain."""
IDEMPOTENCY_KEY_HOURS = 24
"""How long an `Idempotency-Key` finds the try-on it has started."""
ORPHANED_JOBS_SECONDS = 60.0
"""How often the queue's own leftovers are looked for, which takes a walk over its keys."""
LOG_DAYS = 90
"""So long it is known when a session was accepted and ended, and how."""
ERASE_LIMIT = 500
"""How many objects, and how many sessions past their time, one pass removes."""


@dataclass(kw_only=True)
class Sweep:
    """Makes passes. `deadline` is a session's; a `retention` of zero keeps them for ever."""

    sessions: Sessions
    ledger: SubmitLedger
    erasures: Erasures
    pictures: Pictures
    jobs: Jobs
    status_cache: StatusCache
    clock: Clock
    deadline: timedelta
    retention: timedelta
    _orphans_expired_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), init=False)

    def run_forever(self, shutdown: Shutdown) -> None:
        """Make passes until the process is asked to end."""
        while True:
            self.run_once()
            if shutdown.wait(PASS_SECONDS):
                return

    def run_once(self) -> None:
        """Make one pass, if it is this worker's turn; a step that fails is left to the next."""
        steps: tuple[Callable[[], None], ...] = (
            self.recover,
            self.mark_stale_submits,
            self.delete_old_sessions,
            self.delete_old_idempotency_keys,
            self.erase,
        )
        try:
            if not self.jobs.try_acquire_leadership():
                return
            for step in steps:
                step()
        except Unavailable:
            logger.warning("the sweep was cut short: Supabase or Redis is away")
        except Exception:
            logger.exception("the sweep broke")

    def recover(self) -> None:
        """Fail what is past its deadline; undo or enqueue what no run has and no queue."""
        now = self.clock.now()
        unfinished = list(self.sessions.unfinished())
        overdue = [s for s in unfinished if now - s.created_at > self.deadline]
        for session in overdue:
            if self.sessions.fail(session.id, "deadline_exceeded"):
                metrics.ENDED.labels("deadline_exceeded").inc()
                self.status_cache.advance(session.user_id, session.id, failed("deadline_exceeded"))
                logger.warning("deadline_exceeded, by the sweep", extra={"session": session.id})
        self.status_cache.extend_ttl([(s.user_id, s.id) for s in unfinished if s not in overdue])
        candidates = [s for s in unfinished if s not in overdue and not _is_new(s, now)]
        held = self.jobs.waiting() | self.jobs.running([s.id for s in candidates])
        for session in candidates:
            if session.id in held:
                continue
            # Its request failed, and could not undo it; what was submitted goes on.
            if self.jobs.cancelled(session.id) and self.sessions.undo(session.id):
                logger.warning("undone", extra={"session": session.id})
            else:
                self.jobs.enqueue_again(session.id)
                logger.warning("lost its run; enqueued again", extra={"session": session.id})
        if now - self._orphans_expired_at > timedelta(seconds=ORPHANED_JOBS_SECONDS):
            self.jobs.expire_orphaned_jobs([session.id for session in unfinished])
            self._orphans_expired_at = now

    def mark_stale_submits(self) -> None:
        """Record as uncertain what was submitted a while ago and has no outcome."""
        stale_before = self.clock.now() - timedelta(seconds=STALE_SUBMIT_SECONDS)
        self.ledger.mark_stale_uncertain(stale_before)

    def delete_old_sessions(self) -> None:
        """Delete sessions past their time; the rows' trigger notes their objects for erasure."""
        if self.retention:
            before = self.clock.now() - self.retention
            if count := self.sessions.delete_ended(before, ERASE_LIMIT):
                logger.info("%d sessions past their time deleted", count)

    def delete_old_idempotency_keys(self) -> None:
        """Delete the keys that no request can repeat any more, and the log's oldest lines."""
        before = self.clock.now() - timedelta(hours=IDEMPOTENCY_KEY_HOURS)
        self.sessions.delete_idempotency_keys(before)
        self.sessions.delete_log(self.clock.now() - timedelta(days=LOG_DAYS))

    def erase(self) -> None:
        """Remove the objects of rows that went: at once, and again when no run can be left."""
        grace = self.deadline + timedelta(seconds=STALE_SUBMIT_SECONDS)
        due = self.erasures.due(self.clock.now() - grace, ERASE_LIMIT)
        if not due:
            return
        self.pictures.check()  # removing from a bucket that is not there is answered well
        self.pictures.remove([erasure.path for erasure in due])
        self.erasures.mark_erased([erasure.id for erasure in due if not erasure.final])
        self.erasures.forget([erasure.id for erasure in due if erasure.final])


def _is_new(session: UnfinishedSession, now: datetime) -> bool:
    age = (now - session.created_at).total_seconds()
    return session.status is Status.QUEUED and age < NEW_SECONDS
