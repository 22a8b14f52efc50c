"""The database's clock: deadlines are judged by it, whatever this machine's says."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from supabase import Client

from vton.adapters.clock import SystemClock
from vton.adapters.supabase.rows import call
from vton.errors import Unavailable

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
"""How often the database is asked; in between its time goes on with our monotonic clock."""
SLOWEST_SECONDS = 4.0
"""An answer that took longer tells too little of the time."""
SKEW_SECONDS = 5.0
"""More than this the two clocks may not differ without a warning,"""
WARN_SECONDS = 3600.0
"""which is given so often."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the database's time was, and when that was by the monotonic clock."""

    time: datetime
    at: float


class DatabaseClock:
    """Implements `vton.tryon.ports.clock.Clock`. Safe to share between threads.

    Until the database has been asked for the first time it is the machine's own clock.
    """

    def __init__(
        self,
        client: Client,
        local: SystemClock | None = None,
        spawn: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._client = client
        self._local = local or SystemClock()
        self._spawn = spawn or _in_a_thread
        self._measured: _Measured | None = None
        self._asked_at = float("-inf")
        self._warned_at = float("-inf")

    def now(self) -> datetime:
        """Return the database's time, as it was found within the last minute."""
        now = self.monotonic()
        if now - self._asked_at > REFRESH_SECONDS:
            self._asked_at = now
            self._spawn(self._refresh)
        known = self._measured
        if known is None:
            return self._local.now()
        return known.time + timedelta(seconds=now - known.at)

    def monotonic(self) -> float:
        return self._local.monotonic()

    def sleep(self, seconds: float) -> None:
        self._local.sleep(seconds)

    def measure(self) -> float:
        """Ask the database, and return by how many seconds our clock is ahead of its.

        Raises Unavailable.
        """
        self._asked_at = began = self.monotonic()
        told = call(self._client, "database_time", {})
        ended = self.monotonic()
        if not isinstance(told, int | float) or ended - began > SLOWEST_SECONDS:
            raise Unavailable("the database does not tell the time")
        theirs = datetime.fromtimestamp(told, UTC) + timedelta(seconds=(ended - began) / 2)
        self._measured = _Measured(theirs, ended)
        skew = (self._local.now() - theirs).total_seconds()
        if abs(skew) > SKEW_SECONDS and ended - self._warned_at > WARN_SECONDS:
            self._warned_at = ended
            logger.warning(
                "this machine's clock is %.0f s %s the database's, which is used",
                abs(skew), "ahead of" if skew > 0 else "behind",
            )  # fmt: skip
        return skew

    def measured_now(self) -> datetime:
        """Ask the database for its time, and return it. Raises Unavailable."""
        self.measure()
        return self.now()

    def _refresh(self) -> None:
        try:
            self.measure()
        except Exception as fault:  # the next time, perhaps
            logger.debug("the database's time is not known: %s", type(fault).__name__)


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="clock", daemon=True).start()
