"""The rules of the paid call; they know no framework.

The provider never gets a second submit for a session, unless the first was provably not accepted
or ended ERROR. Before each one the run claims it in the ledger, which lets one attempt at a time
through; after it the outcome is recorded, whatever happens to the process meanwhile.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from vton import metrics
from vton.errors import Unavailable
from vton.tryon.model import ProviderTask, Session
from vton.tryon.ports.clock import Clock, Shutdown
from vton.tryon.ports.database import Claim, ClaimResult, Outcome, Sessions, SubmitLedger
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    PermanentError,
    Provider,
    RetryableError,
)
from vton.tryon.ports.queue import CircuitBreaker
from vton.tryon.ports.storage import PictureMissing
from vton.tryon.retries import (
    AWAY_SECONDS,
    CANCEL_CHECK_SECONDS,
    Cancelled,
    Interrupted,
    Retries,
    backoffs,
)

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 25.0
"""A submit lasts 20 s at most; a claim that is older belongs to no living run."""
FRESH_SECONDS = 4.0
"""A claim that is older is not submitted on: the process stood still, and another run may see it as
nobody's before the submit is over."""
LAST_PART = 0.25
"""Of a session's time: what is submitted in it would be paid, and hardly be done in time."""
NEW_SECONDS = 60.0
"""So long after its start a session's photo may still be on its way."""
LAST_TRIES = 10
"""How often, a second apart, a process that is asked to end tries to record an outcome."""

_OUTCOMES = {"provider_uncertain": Outcome.UNCERTAIN, "photo_rejected": Outcome.REFUSED}
"""What a submit has come to that failed with one of these codes."""

Step = Literal["submitting", "waiting", "fetching", "storing"]
Report = Callable[[Step, str | None], None]
"""Is told each step of a run, and the id of the provider's task when there is a new one."""


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Makes paid calls for all runs of a process.

    `paid_cap` is how many there may be on one day, `first_poll` how many seconds a run waits
    after one, and `poll_interval` how many before it looks again whether another run is done.
    """

    sessions: Sessions
    ledger: SubmitLedger
    circuit_breaker: CircuitBreaker
    provider: Provider
    retries: Retries
    clock: Clock
    shutdown: Shutdown
    paid_cap: int
    first_poll: float
    poll_interval: float

    def submit(self, session: Session, report: Report) -> ProviderTask:
        """Order the picture, once. Return its task, or the one another run already started.

        Raises PermanentError, Cancelled, Interrupted.
        """
        report("submitting", None)
        inputs, refused_for_money = self._prepare(session), False
        for backoff in backoffs():
            attempt = str(uuid4())
            claim = self._claim(session, attempt)
            if isinstance(claim, ProviderTask):
                return claim
            others_are_taken = refused_for_money and not self.circuit_breaker.tripped()
            try:
                task = self._call(attempt, inputs, claim)
            except RetryableError as fault:
                logger.warning("not accepted: %s", fault)
                self.retries.sleep_unless_cancelled(session, fault.retry_after or backoff)
            except FormRefused as refusal:
                logger.warning("another form of the request: %s", refusal)
                inputs = refusal.alternative
            except PaymentRequired as refusal:
                if others_are_taken:  # it is not about the account, then
                    raise PermanentError("provider_failed", str(refusal)) from None
                refused_for_money = True
                logger.error("ALARM the provider wants money, submits pause: %s", refusal)
                self.circuit_breaker.trip(session.id)
            else:
                self.circuit_breaker.close()
                logger.info("submitted", extra={"task": task.id})
                report("waiting", task.id)
                self.retries.sleep_unless_cancelled(session, self.first_poll)
                return task
        raise AssertionError("unreachable")

    def _prepare(self, session: Session) -> Inputs:
        """Return the session's pictures as the provider takes them; the photo may be late."""
        if session.garment is None:
            raise PermanentError("garment_missing", "the garment was removed from the shop")
        photo, garment = session.photo or "", session.garment.picture
        while True:
            try:
                return self.retries.with_backoff(
                    session, lambda: self.provider.prepare(photo, garment)
                )
            except PictureMissing as missing:
                if str(missing) != photo:
                    raise PermanentError("garment_missing", "its picture is not there") from None
                if self.retries.age(session) > NEW_SECONDS:
                    raise PermanentError("interrupted", "the photo is not there") from None
                self.retries.sleep_unless_cancelled(session, AWAY_SECONDS)

    def _claim(self, session: Session, attempt: str) -> ProviderTask | float:
        """Wait until we may submit. Return since when (monotonic seconds).

        Return the task if another run started it.
        """
        while True:
            # Past its deadline, deleted, or the process ends.
            self.retries.sleep_unless_cancelled(session, 0)
            if seconds := self.circuit_breaker.seconds_until_allowed(session.id):
                self.retries.sleep_unless_cancelled(session, min(seconds, CANCEL_CHECK_SECONDS))
                continue
            claim, asked_at = self.retries.with_backoff(
                session, lambda: self._ask_for_claim(session, attempt)
            )
            match claim.result:
                case ClaimResult.CLAIMED:
                    if self.retries.age(session) > self.retries.deadline * (1 - LAST_PART):
                        self._record(attempt, Outcome.NOT_ACCEPTED)
                        raise PermanentError("deadline_exceeded", "too late to be submitted")
                    return asked_at - claim.age
                case ClaimResult.ENDED:
                    raise Cancelled
                case ClaimResult.CAPPED:
                    raise PermanentError("paid_cap_reached", "the day's paid calls are used up")
                case ClaimResult.HELD if claim.age > CLAIM_SECONDS:
                    raise PermanentError("provider_uncertain", "a run ended during its submit")
                case ClaimResult.HELD:
                    left = CLAIM_SECONDS + 1 - claim.age
                    self.retries.sleep_unless_cancelled(session, min(left, self.poll_interval))
                case ClaimResult.TASK:
                    task = self.retries.with_backoff(
                        session, lambda: self.sessions.task(session.id)
                    )
                    if task is not None:
                        return task

    def _ask_for_claim(self, session: Session, attempt: str) -> tuple[Claim, float]:
        """Return the ledger's answer, and when it was asked."""
        asked_at = self.clock.monotonic()
        return self.ledger.claim_submit(session.id, attempt, self.paid_cap), asked_at

    def _call(self, attempt: str, inputs: Inputs, claimed_at: float) -> ProviderTask:
        """Make the paid call, and record in the ledger what became of it."""
        try:
            if self.clock.monotonic() - claimed_at > FRESH_SECONDS:
                raise RetryableError("the claim is too old")
            task = self.provider.submit(inputs)
        except (RetryableError, FormRefused):
            self._record(attempt, Outcome.NOT_ACCEPTED)
            raise
        except PaymentRequired:  # it may be about the picture: it counts against its user
            self._record(attempt, Outcome.REFUSED)
            raise
        except PermanentError as failure:
            self._record(attempt, _OUTCOMES.get(failure.code, Outcome.NOT_ACCEPTED))
            raise
        except BaseException:
            self._record(attempt, Outcome.UNCERTAIN)
            raise
        self._record(attempt, Outcome.ACCEPTED, task)
        return task

    def _record(self, attempt: str, outcome: Outcome, task: ProviderTask | None = None) -> None:
        """Record an outcome, also while the process is asked to end. Raises Interrupted."""
        metrics.SUBMITS.labels(outcome).inc()
        tries = 0
        while tries < LAST_TRIES:
            try:
                return self.ledger.record_outcome(attempt, outcome, task)
            except Unavailable:
                if self.shutdown.wait(AWAY_SECONDS):
                    tries += 1
                    self.clock.sleep(1)
        raise Interrupted
