"""Accepted tasks, the ledger of every submit, and the pictures, all in memory and bounded."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from devstack.pixazo.settings import Rule

ENDINGS = {"failed": "FAILED", "error": "ERROR", "never": "PROCESSING"}
PICTURED = ("completed", "unchanged", "blank")


@dataclass(frozen=True)
class Task:
    """One accepted try-on. Times are wall clock, `begun` is monotonic seconds."""

    request_id: str
    task_id: str  # differs from request_id in the legacy contract
    person: str  # SHA-256 of the picture
    garment: str
    delay: float
    result_format: str
    fate: str = "completed"
    word: str = "COMPLETED"
    message: str = ""
    result_rule: Rule | None = None  # how its picture is delivered, other than honestly
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: float = field(default_factory=time.monotonic)

    def status(self) -> str:
        """The v2 word for now: QUEUED for a quarter of the delay, PROCESSING, then its fate."""
        age = time.monotonic() - self.begun
        if age < self.delay:
            return "QUEUED" if age < self.delay / 4 else "PROCESSING"
        return self.word if self.fate == "word" else ENDINGS.get(self.fate, "COMPLETED")

    @property
    def done(self) -> bool:
        """Whether its picture can be fetched."""
        return self.fate in PICTURED and self.status() == "COMPLETED"

    @property
    def ends_at(self) -> datetime:
        """When its delay is over."""
        return self.created_at + timedelta(seconds=self.delay)


def new_ids(contract: str) -> tuple[str, str]:
    """(request_id, task_id) shaped as the vendor's. v2 has one id for both; in the Kling envelope
    the top-level request_id is a trace id that no poll accepts."""
    if contract == "v2":
        request_id = f"kling-virtual-try-on_{uuid.uuid4()}"
        return request_id, request_id
    return str(uuid.uuid4()), str(uuid.uuid4().int % 10**18).zfill(18)


class Tasks:
    """Tasks by the id that a client polls with; the oldest go when there are too many."""

    def __init__(self, limit: int = 20_000) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        """Remember a task."""
        with self._lock:
            self._tasks[task.task_id] = task
            if len(self._tasks) > self._limit:
                self._tasks.popitem(last=False)

    def get(self, task_id: object) -> Task | None:
        """The task a client polls for."""
        return self._tasks.get(task_id) if isinstance(task_id, str) else None

    def count(self) -> Counter[str]:
        """How many tasks are in each status now."""
        with self._lock:
            tasks = list(self._tasks.values())
        return Counter(task.status() for task in tasks)


class Ledger:
    """Every submit in the order it came: what proves that nobody pays twice."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def submit(self, **facts: Any) -> None:
        """Write down one submit."""
        with self._lock:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._entries.append({"n": len(self._entries) + 1, "at": at, **facts})

    def count(self, what: str) -> None:
        """Count a poll, a download, a picture composed."""
        with self._lock:
            self._counts[what] += 1

    def entries(self) -> list[dict[str, Any]]:
        """All submits since the last reset."""
        with self._lock:
            return list(self._entries)

    def totals(self) -> dict[str, int]:
        """Submits by outcome, and what else was counted. ERROR is documented as not charged."""
        with self._lock:
            accepted = [entry for entry in self._entries if entry["accepted"]]
            return {
                "submits": len(self._entries),
                "accepted": len(accepted),
                "refused": len(self._entries) - len(accepted),
                "charged": sum(entry["fault"] != "error" for entry in accepted),
                **{name: self._counts[name] for name in ("polls", "downloads", "composed")},
            }


class Pictures:
    """Pictures as they came, by SHA-256, and the results made of them: two bounded caches.

    One result is composed at a time, when it is first asked for, and once for each pair."""

    def __init__(self, input_bytes: int = 256_000_000, results: int = 32) -> None:
        self._inputs: OrderedDict[str, bytes] = OrderedDict()
        self._results: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._limits = (input_bytes, results)
        self._lock = threading.Lock()
        self._composing = threading.Lock()

    def put(self, content: bytes) -> str:
        """Keep a picture; the answer is its hash. The longest unused go when room is short."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._inputs[digest] = content
            self._inputs.move_to_end(digest)
            while sum(map(len, self._inputs.values())) > self._limits[0]:
                self._inputs.popitem(last=False)
        return digest

    def result(self, task: Task, compose: Callable[..., bytes]) -> bytes | None:
        """The task's picture, from the cache or composed now; None when an input has gone."""
        key = (task.person, task.garment, task.result_format, task.fate)
        with self._lock:
            found = self._cached(key)
        if found is not None:
            return found
        with self._composing:
            with self._lock:
                found = self._cached(key)
                pair = self._inputs.get(task.person), self._inputs.get(task.garment)
            if found is not None or pair[0] is None or pair[1] is None:
                return found
            made = compose(*pair, task.result_format, task.fate)
            with self._lock:
                self._results[key] = made
                if len(self._results) > self._limits[1]:
                    self._results.popitem(last=False)
            return made

    def _cached(self, key: tuple[str, ...]) -> bytes | None:
        if key in self._results:
            self._results.move_to_end(key)
        return self._results.get(key)
