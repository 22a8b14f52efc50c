"""The machine's own clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `vton.tryon.ports.clock.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
