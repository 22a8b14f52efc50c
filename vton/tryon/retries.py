"""How a run waits and repeats: within its session's deadline, and ready to stop at any moment."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

from vton.errors import Unavailable
from vton.tryon.model import Session
from vton.tryon.ports.clock import Clock, Shutdown
from vton.tryon.ports.provider import PermanentError, RetryableError
from vton.tryon.ports.queue import Jobs

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long to wait after each failed call in a row; the last one repeats."""
AWAY_SECONDS = 3.0
"""How long to wait before a database that is away is asked again."""
CANCEL_CHECK_SECONDS = 3.0
"""A deleted session is noticed within so long, however long its run waits."""

T = TypeVar("T")


class Interrupted(Exception):
    """The process is asked to end while the session waits; another worker resumes it."""


class Cancelled(Exception):
    """The session was deleted, or ended by another run."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Waits and repeats for all runs of a process. `deadline` is a session's, in seconds."""

    jobs: Jobs
    clock: Clock
    shutdown: Shutdown
    deadline: float

    def age(self, session: Session) -> float:
        """Return for how many seconds the session has existed."""
        return (self.clock.now() - session.created_at).total_seconds()

    def with_backoff(self, session: Session, call: Callable[[], T]) -> T:
        """Repeat a call, with ever longer pauses, while it cannot be made.

        Raises what `sleep_unless_cancelled` raises, and whatever else the call does.
        """
        for backoff in backoffs():
            try:
                return call()
            except (RetryableError, Unavailable) as fault:
                asked = fault.retry_after if isinstance(fault, RetryableError) else None
                pause = asked or backoff
                logger.warning("%s; again in %g s", fault, pause)
                self.sleep_unless_cancelled(session, pause)
        raise AssertionError("unreachable")

    def until_available(self, call: Callable[[], T]) -> T:
        """Repeat a call to the database or the storage until it is there. Raises Interrupted."""
        while True:
            try:
                return call()
            except Unavailable:
                if self.shutdown.wait(AWAY_SECONDS):
                    raise Interrupted from None

    def sleep_unless_cancelled(self, session: Session, seconds: float) -> None:
        """Wait, looking every few seconds whether the session is still wanted.

        Raises Interrupted, Cancelled, or PermanentError once the session is past its deadline.
        """
        ends_at = self.clock.monotonic() + seconds
        while True:
            left = self.deadline - self.age(session)
            if left <= 0:
                raise PermanentError("deadline_exceeded", f"older than {self.deadline:g} s")
            step = min(ends_at - self.clock.monotonic(), left, CANCEL_CHECK_SECONDS)
            if self.shutdown.wait(max(0.0, step)):
                raise Interrupted
            if self.jobs.cancelled(session.id):
                raise Cancelled
            if self.clock.monotonic() >= ends_at:
                return


def backoffs() -> Iterator[float]:
    """Return the pauses between failed calls, in seconds, without end."""
    return chain(BACKOFF_SECONDS, repeat(BACKOFF_SECONDS[-1]))
