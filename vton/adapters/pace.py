"""How often the provider is asked, by all threads of a process together."""

import threading
import time

from vton.tryon.ports import Later, Waiting

LONGEST_SECONDS = 1.0


class Pace:
    """Lets calls through one after another, at most `per_second`, and none while slowed."""

    def __init__(self, per_second: float, waiting: Waiting) -> None:
        self._interval = 1 / per_second
        self._waiting = waiting
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for this call's turn.

        Raises Later when that is more than a second away, so that the session does its waiting
        where it notices a delete, or when the process is asked to end.
        """
        with self._lock:
            now = time.monotonic()
            delay = max(0.0, self._next - now)
            if delay > LONGEST_SECONDS:
                raise Later("its turn has not come", delay)
            self._next = now + delay + self._interval
        if delay and self._waiting.wait(delay):
            raise Later("the process ends")

    def slow(self, seconds: float) -> None:
        """Let nobody through for so long: the provider answered 429."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
