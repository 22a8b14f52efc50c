"""Time, and the end of the process."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment, for measuring how long something takes."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, also while the process is asked to end."""
        ...


class Shutdown(Protocol):
    """How everything that waits does so: until the time is up or the process is asked to end.

    A `threading.Event` that the signal handlers set is one.
    """

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`. Return True, at once, when the process is asked to end."""
        ...
