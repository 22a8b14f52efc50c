"""How often the provider is asked, by all threads of a process together."""

import threading

from vton.tryon.ports.clock import Clock, Shutdown
from vton.tryon.ports.provider import RetryableError

LONGEST_SECONDS = 1.0


class Throttle:
    """Lets calls through one after another, at most `per_second`, and none while slowed."""

    def __init__(self, per_second: float, shutdown: Shutdown, clock: Clock) -> None:
        self._interval = 1 / per_second
        self._shutdown = shutdown
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for this call's turn.

        Raises RetryableError when that is more than a second away, so that the session waits
        where it notices a delete, or when the process is asked to end.
        """
        with self._lock:
            now = self._clock.monotonic()
            delay = max(0.0, self._next - now)
            if delay > LONGEST_SECONDS:
                raise RetryableError("its turn has not come", delay)
            self._next = now + delay + self._interval
        if delay and self._shutdown.wait(delay):
            raise RetryableError("the process ends")

    def slow_down(self, seconds: float) -> None:
        """Let nobody through for so long: the provider answered 429."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)
