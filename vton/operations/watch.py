"""How it is going, for `/admin` and `/metrics`. An answer is kept for some seconds."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from vton.errors import Unavailable
from vton.operations.model import Overview
from vton.operations.ports import Pauses, Queue, Records

KEPT_SECONDS = 5.0

T = TypeVar("T")


@dataclass
class Watch:
    """Looks at everything, once for all who ask. Safe to share between threads."""

    records: Records
    queue: Queue
    pauses: Pauses
    paid_cap: int
    release: str
    now: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: Overview | None = None
    _until: float = float("-inf")

    def overview(self) -> Overview:
        """Return how it is going. Never raises: what is away is named."""
        with self._lock:
            if self._seen is None or self.now() >= self._until:
                self._seen = self._look()
                self._until = self.now() + KEPT_SECONDS
            return self._seen

    def _look(self) -> Overview:
        away: dict[str, str] = {}

        def ask(part: str, call: Callable[[], T]) -> T | None:
            try:
                return call()
            except Unavailable as fault:
                away[part] = fault.why
                return None

        return Overview(
            database=ask("database", self.records.overview),
            queue=ask("redis", self.queue.overview),
            pause=ask("pauses", self.pauses.current),
            paid_cap=self.paid_cap,
            release=self.release,
            at=datetime.now(UTC),
            away=away,
        )
