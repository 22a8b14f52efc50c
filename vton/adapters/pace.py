"""How often the provider is asked, by all threads of a process together."""

import threading
import time

from vton.tryon.ports import Waiting


class Pace:
    """Lets calls through one after another, at most `per_second`, and none while slowed."""

    def __init__(self, per_second: float, waiting: Waiting) -> None:
        self._interval = 1 / per_second
        self._waiting = waiting
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for this call's turn, or until the process is asked to end."""
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._interval
        delay = turn - time.monotonic()
        if delay > 0:
            self._waiting.wait(delay)

    def slow(self, seconds: float) -> None:
        """Let nobody through for so long: the provider answered 429."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
