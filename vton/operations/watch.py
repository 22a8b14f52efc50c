"""How it is going, for `/admin` and `/metrics`. An answer is kept for some seconds."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from vton.deadline import within
from vton.errors import Unavailable
from vton.operations.model import Overview
from vton.operations.ports import Pauses, Queue, Records

logger = logging.getLogger(__name__)

KEPT_SECONDS = 5.0
LOOK_SECONDS = 3.0
"""So long each part has to answer: Prometheus gives a scrape 10 s."""

T = TypeVar("T")


@dataclass
class Watch:
    """Looks at everything, once for all who ask. Safe to share between threads.

    `broken` says what a new try-on would need and is not there, as `/health/ready` does.
    """

    records: Records
    queue: Queue
    pauses: Pauses
    broken: Callable[[], Mapping[str, Sequence[str]]]
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
                with within(LOOK_SECONDS):
                    return call()
            except Unavailable as fault:
                away.setdefault(part, fault.why)
            except Exception as fault:  # what another release answers, say
                logger.exception("the %s was not understood", part)
                away[part] = f"it is not understood ({type(fault).__name__})"
            return None

        for part, why in (ask("readiness", self.broken) or {}).items():
            away[part] = why[0]
        database = ask("database", self.records.overview)
        return Overview(
            database=database,
            queue=ask("redis", self.queue.overview),
            pause=ask("pauses", self.pauses.current) if database else None,
            paid_cap=self.paid_cap,
            release=self.release,
            at=datetime.now(UTC),
            away=away,
            faults=(ask("migrations", self.records.faults) or ()) if database else (),
        )
