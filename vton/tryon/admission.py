"""What a client is told that may not start a session now."""

from datetime import datetime, timedelta

from vton.errors import Problem
from vton.tryon.ports.database import Admission


def refusal(admission: Admission, now: datetime) -> Problem:
    """Return the problem of a session that was neither created nor replayed."""
    if admission is Admission.UNFINISHED:
        return Problem("too_many_unfinished", retry_after=5, policy="unfinished")
    if admission is Admission.QUOTA:
        return Problem("daily_quota", retry_after=_until_midnight(now), policy="daily")
    if admission is Admission.PAID_CAP:
        return Problem("paid_cap_reached", retry_after=_until_midnight(now))
    if admission is Admission.BUSY:
        return Problem("busy", retry_after=10)
    return Problem("idempotency_mismatch")


def _until_midnight(now: datetime) -> int:
    """Return the seconds until the next day begins in UTC, when the counts begin anew."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return int((midnight - now).total_seconds()) + 1
