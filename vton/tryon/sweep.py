"""The sweep: the one recoverer, and the one that works off what has to go.

Every few seconds one worker of all makes a pass. Each step is idempotent and may meet another
pass, a living run or a user's delete at any point.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from vton.errors import Unavailable
from vton.tryon.model import Status, failed
from vton.tryon.ports import (
    Books,
    Erasures,
    Jobs,
    Pictures,
    Sessions,
    Statuses,
    Unfinished,
    Waiting,
)

logger = logging.getLogger(__name__)

PASS_SECONDS = 10.0
NEW_SECONDS = 20.0
"""So long a queued session's job may still be on its way from the web process."""
OPEN_SECONDS = 60.0
"""A submit that nobody has settled for so long is uncertain."""
KEY_HOURS = 24
"""How long an `Idempotency-Key` finds the try-on it has started."""
TIDY_SECONDS = 60.0
"""How often the queue's own leftovers are looked for, which takes a walk over its keys."""
ERASE_LIMIT = 500
"""How many objects, and how many sessions past their time, one pass removes."""


class Sweep:
    """Makes passes. `deadline` is in seconds, `retention_days` 0 for ever."""

    def __init__(
        self,
        sessions: Sessions,
        books: Books,
        erasures: Erasures,
        pictures: Pictures,
        jobs: Jobs,
        statuses: Statuses,
        deadline: float,
        retention_days: int,
    ) -> None:
        self._sessions = sessions
        self._books = books
        self._erasures = erasures
        self._pictures = pictures
        self._jobs = jobs
        self._statuses = statuses
        self._deadline = timedelta(seconds=deadline)
        self._retention = timedelta(days=retention_days)
        self._tidied_at = datetime.min.replace(tzinfo=UTC)

    def keep_on(self, waiting: Waiting) -> None:
        """Make passes until the process is asked to end."""
        while True:
            self.make_pass()
            if waiting.wait(PASS_SECONDS):
                return

    def make_pass(self) -> None:
        """Make one pass, if it is this worker's turn; a step that fails is left to the next."""
        steps: tuple[Callable[[], None], ...] = (
            self._recover,
            self._doubt,
            self._retire,
            self._forget_keys,
            self._erase,
        )
        try:
            if not self._jobs.lead():
                return
            for step in steps:
                step()
        except Unavailable:
            logger.warning("the sweep was cut short: Supabase or Redis is away")
        except Exception:
            logger.exception("the sweep broke")

    def _recover(self) -> None:
        """Fail what is past its deadline; undo or enqueue what no run has and no queue."""
        now = datetime.now(UTC)
        unfinished = list(self._sessions.unfinished())
        overdue = [s for s in unfinished if now - s.created_at > self._deadline]
        for session in overdue:
            if self._sessions.fail(session.id, "deadline_exceeded"):
                self._statuses.put(session.user_id, session.id, failed("deadline_exceeded"))
                logger.warning("session=%s deadline_exceeded, by the sweep", session.id)
        self._statuses.prolong([(s.user_id, s.id) for s in unfinished if s not in overdue])
        candidates = [s for s in unfinished if s not in overdue and not _is_new(s, now)]
        held = self._jobs.waiting() | self._jobs.running([s.id for s in candidates])
        for session in candidates:
            if session.id in held:
                continue
            if self._jobs.cancelled(session.id):  # its request failed, and could not undo it
                self._sessions.undo(session.id)
                logger.warning("session=%s undone", session.id)
            else:
                self._jobs.enqueue_again(session.id)
                logger.warning("session=%s lost its run; enqueued again", session.id)
        if now - self._tidied_at > timedelta(seconds=TIDY_SECONDS):
            self._jobs.tidy([session.id for session in unfinished])
            self._tidied_at = now

    def _doubt(self) -> None:
        self._books.doubt_open(datetime.now(UTC) - timedelta(seconds=OPEN_SECONDS))

    def _retire(self) -> None:
        """Delete sessions past their time; the rows' trigger notes their objects for erasure."""
        if self._retention:
            before = datetime.now(UTC) - self._retention
            if count := self._sessions.delete_ended(before, ERASE_LIMIT):
                logger.info("%d sessions past their time deleted", count)

    def _forget_keys(self) -> None:
        self._sessions.delete_keys(datetime.now(UTC) - timedelta(hours=KEY_HOURS))

    def _erase(self) -> None:
        """Remove the objects of rows that went: at once, and again when no run can be left."""
        again_before = datetime.now(UTC) - self._deadline - timedelta(seconds=OPEN_SECONDS)
        due = self._erasures.due(again_before, ERASE_LIMIT)
        if not due:
            return
        self._pictures.remove([erasure.path for erasure in due])
        self._erasures.mark_erased([erasure.id for erasure in due if not erasure.again])
        self._erasures.forget([erasure.id for erasure in due if erasure.again])


def _is_new(session: Unfinished, now: datetime) -> bool:
    age = (now - session.created_at).total_seconds()
    return session.status is Status.QUEUED and age < NEW_SECONDS
