"""What the operator is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vton.tryon.ports.pauses import Pause


@dataclass(frozen=True, slots=True)
class DatabaseOverview:
    """How many sessions there are, what ended in the last hour, and what was paid today.

    `last_hour` counts by outcome: `success`, `deleted`, or the code of a failure.
    """

    queued: int
    processing: int
    oldest_seconds: float
    paid_today: int
    last_hour: Mapping[str, int]
    erasures: int
    schema_version: int
    postgres: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that has said within half a minute that it lives."""

    host: str
    pid: str
    heard_seconds: float
    """How long ago that was."""


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """What Redis holds, in bytes and numbers. `max_memory` is 0 where it is not said."""

    depth: int
    workers: Sequence[WorkerState]
    wants_money: bool
    """Whether the circuit breaker stops submits, all but a probe now and then."""
    used_memory: int
    max_memory: int
    policy: str
    clients: int
    max_clients: int
    version: str
    alarms: Sequence[tuple[float, str]] = ()
    """The last alarms, newest first, and when each was (seconds since 1970)."""


@dataclass(frozen=True, slots=True)
class Overview:
    """How it is going. A part is None where it could not be asked; `away` says what does not work.

    `faults` are what of the migrations is not in force.
    """

    database: DatabaseOverview | None
    queue: QueueOverview | None
    pause: Pause | None
    paid_cap: int
    release: str
    at: datetime
    away: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[str] = ()


class Level(StrEnum):
    """How bad a finding is. Only a failure makes `doctor` fail."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of `doctor` has found, and what to do about it."""

    check: str
    level: Level
    found: str
    do: str = ""


Facts = Mapping[str, Any]
"""What the database answers in JSON: figures, or all that is known of a session."""
