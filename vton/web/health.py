"""Whether all is well: for the platform, for the router in front, and for a monitor.

`/health/live`: the process answers. `/health/ready`: a try-on could be taken now.
`/health/service`: and it would be run, too. An answer is remembered for two seconds, and many who
ask at once share one.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from flask import current_app
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from vton.errors import Problem, Unavailable
from vton.web.auth import public
from vton.web.envelope import Answer, answer
from vton.web.openapi import envelope, refusals

bp = Blueprint("health", __name__, url_prefix="/health")

REMEMBERED_SECONDS = 2.0

Check = Callable[[], None]
"""Raises Unavailable, with what is wrong in its text, or not at all."""


@dataclass
class Parts:
    """What has to be there, by name. Safe to share between threads."""

    checks: Mapping[str, Check]
    now: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _broken: Mapping[str, list[str]] = field(default_factory=dict)
    _until: float = float("-inf")

    def broken(self) -> Mapping[str, list[str]]:
        """Return the parts that are not there, and why, as was found a moment ago at most."""
        with self._lock:
            if self.now() >= self._until:
                found = {name: _try(check) for name, check in self.checks.items()}
                self._broken = {name: [why] for name, why in found.items() if why}
                self._until = self.now() + REMEMBERED_SECONDS
            return self._broken


def _try(check: Check) -> str:
    try:
        check()
    except Unavailable as away:
        return away.why
    return ""


@dataclass(frozen=True)
class Health:
    """The parts that a new try-on needs to be taken, and those that it needs to be run."""

    ready: Parts
    service: Parts


class HealthAnswer(Schema):
    """It answers."""

    status = fields.String(required=True, validate=validate.Equal("ok"))


@bp.get("/live")
@public
@bp.response(200, envelope(HealthAnswer))
@bp.doc(operationId="isLive")
def live() -> Answer:
    """Say that the process answers; it asks nobody else."""
    return answer({"status": "ok"})


@bp.get("/ready")
@public
@bp.response(200, envelope(HealthAnswer))
@bp.doc(operationId="isReady", responses=refusals("unavailable"))
def ready() -> Answer:
    """Say whether a try-on could be taken now; a 503 names in `errors` the parts that are away."""
    return _all_well(_health().ready)


@bp.get("/service")
@public
@bp.response(200, envelope(HealthAnswer))
@bp.doc(operationId="isServed", responses=refusals("unavailable"))
def service() -> Answer:
    """Say whether a try-on would be run, too: a worker lives, and nobody has waited for long."""
    return _all_well(_health().service)


def _health() -> Health:
    return cast(Health, current_app.extensions["health"])


def _all_well(parts: Parts) -> Answer:
    if broken := parts.broken():
        raise Problem("unavailable", errors=broken, retry_after=5)
    return answer({"status": "ok"})
