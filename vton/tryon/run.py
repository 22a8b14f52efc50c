"""The rules of a run, which takes a session from the queue to its end; they know no framework.

A run may end at any moment, and another may take over, or even run beside it. What keeps that
harmless: the ticket, which one attempt at a time has, so that the provider never gets a second
submit for a session unless the first was provably not accepted or ended ERROR; the task id,
stored at once, by which a later run goes on without paying; one name for the result; and
writes that change an unfinished session only.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Literal, TypeVar
from uuid import uuid4

from vton.errors import Unavailable
from vton.tryon.model import Look, ProviderTask, Session, Status, failed
from vton.tryon.ports import (
    Books,
    Breaker,
    Inputs,
    Jobs,
    Later,
    Missing,
    Never,
    OtherField,
    Outcome,
    OutOfMoney,
    PictureMissing,
    Pictures,
    Progress,
    Provider,
    Sessions,
    Statuses,
    TicketAnswer,
    Typical,
    Waiting,
)

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long to wait after each failed call in a row; the last one repeats."""
AWAY_SECONDS = 3.0
"""How long to wait for a database that is away before it is asked again."""
TICKET_SECONDS = 25.0
"""A submit lasts 20 s at most; a ticket that has been out for longer belongs to no run."""
NEW_SECONDS = 60.0
"""So long after its start a session's photo may still be on its way."""
MISSING_SECONDS = 30.0
"""So long the provider may not know a task that it has just accepted."""
LOOK_SECONDS = 3.0
"""A session that was deleted is noticed within so long, however long its run waits."""
PICTURES = 20
"""How many pictures are fetched and stored at once: what bounds the worker's memory."""
LAST_TRIES = 10
"""How often, a second apart, a process that is asked to end tries to write down a submit."""

T = TypeVar("T")
Step = Literal["submitting", "waiting", "fetching", "storing"]
Report = Callable[[Step, str | None], None]
"""Is told each step of a run, and the id of the provider's task when there is a new one."""


class Interrupted(Exception):
    """The process is asked to end while the session waits; another worker resumes it."""


class Cancelled(Exception):
    """The session was deleted, or ended by another run."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds: when to look, and when to give up; and the day's cap of paid calls."""

    first_poll: float
    poll_interval: float
    deadline: float
    paid_cap: int


class Runs:
    """Runs sessions; one object serves all threads of a worker."""

    def __init__(
        self,
        sessions: Sessions,
        books: Books,
        pictures: Pictures,
        jobs: Jobs,
        statuses: Statuses,
        breaker: Breaker,
        provider: Provider,
        waiting: Waiting,
        rules: Rules,
    ) -> None:
        self._sessions = sessions
        self._books = books
        self._pictures = pictures
        self._jobs = jobs
        self._statuses = statuses
        self._breaker = breaker
        self._provider = provider
        self._waiting = waiting
        self._rules = rules
        self._rooms = threading.BoundedSemaphore(PICTURES)

    def run(self, session_id: str, report: Report = lambda *_: None) -> None:
        """Take a session to its end.

        Raises Interrupted when the process is asked to end first; the session goes on in
        another worker.
        """
        session = self._insist(lambda: self._sessions.claim(session_id))
        if session is None:
            logger.info("session=%s has ended or is gone", session_id)
            return
        queued_at = session.created_at.timestamp()
        began_at = None if session.task else time.time()  # a run that took over began earlier
        self._say(session, Look(Status.PROCESSING, queued_at=queued_at, began_at=began_at))
        try:
            self._make_picture(session, report)
        except Cancelled:
            logger.info("session=%s is not wanted any more", session_id)
        except Never as failure:
            logger.warning("session=%s %s: %s", session_id, failure.code, failure)
            self._fail(session, failure.code)
        except Interrupted:
            raise
        except Exception:
            logger.exception("session=%s broke", session_id)
            self._fail(session, "interrupted")
        else:
            if began_at:
                self._statuses.record(Typical(began_at - queued_at, time.time() - began_at))

    def _make_picture(self, session: Session, report: Report) -> None:
        task = session.task or self._submit(session, report)
        url = self._await_result(session, task, report)
        self._deliver(session, url, report)

    def _fail(self, session: Session, code: str) -> None:
        if self._insist(lambda: self._sessions.fail(session.id, code)):
            self._say(session, failed(code))

    def _say(self, session: Session, look: Look) -> None:
        """Tell polls what has become of a session."""
        self._statuses.put(session.user_id, session.id, look)

    # -- the paid call -------------------------------------------------------------------

    def _submit(self, session: Session, report: Report) -> ProviderTask:
        """Order the picture, once; returns its task, or that of another run."""
        report("submitting", None)
        inputs = self._prepare(session)
        other_field = False
        for backoff in _backoffs():
            attempt = str(uuid4())
            task = self._take_ticket(session, attempt)
            if task is not None:
                return task
            try:
                task = self._provider.submit(inputs, other_field=other_field)
            except Later as later:
                self._settle(attempt, Outcome.NOT_ACCEPTED)
                logger.warning("session=%s not accepted: %s", session.id, later)
                self._pause(session, later.retry_after or backoff)
            except OtherField as refusal:
                self._settle(attempt, Outcome.NOT_ACCEPTED)
                if other_field:
                    raise Never("photo_rejected", str(refusal)) from None
                logger.warning("session=%s the garment's field: %s", session.id, refusal)
                other_field = True
            except OutOfMoney as refusal:
                self._settle(attempt, Outcome.NOT_ACCEPTED)
                logger.error("ALARM the provider wants money, submits pause: %s", refusal)
                self._breaker.trip()
            except Never as failure:
                uncertain = failure.code == "provider_uncertain"
                self._settle(attempt, Outcome.UNCERTAIN if uncertain else Outcome.NOT_ACCEPTED)
                raise
            except BaseException:
                self._settle(attempt, Outcome.UNCERTAIN)
                raise
            else:
                self._settle(attempt, Outcome.ACCEPTED, task)
                self._breaker.close()
                logger.info("session=%s submitted, task=%s", session.id, task.id)
                report("waiting", task.id)
                self._pause(session, self._rules.first_poll)
                return task
        raise AssertionError("unreachable")

    def _prepare(self, session: Session) -> Inputs:
        if session.garment is None:
            raise Never("garment_missing", "the garment was removed from the shop")
        garment = session.garment.picture
        while True:
            try:
                return self._repeat(session, lambda: self._provider.prepare(session.photo, garment))
            except PictureMissing as missing:
                if _age(session) > NEW_SECONDS or str(missing) != session.photo:
                    raise Never("interrupted", f"no object {missing}") from None
                self._pause(session, AWAY_SECONDS)

    def _take_ticket(self, session: Session, attempt: str) -> ProviderTask | None:
        """Wait for leave to submit; None with it, or the task that another run has got."""
        while True:
            self._pause(session, 0)  # past its deadline, deleted, or the process ends
            if hold := self._breaker.hold():
                self._pause(session, min(hold, LOOK_SECONDS))
                continue
            ticket = self._repeat(
                session,
                lambda: self._books.take_ticket(session.id, attempt, self._rules.paid_cap),
            )
            match ticket.answer:
                case TicketAnswer.TAKEN:
                    return None
                case TicketAnswer.ENDED:
                    raise Cancelled
                case TicketAnswer.CAPPED:
                    raise Never("paid_cap_reached", "the day's paid calls are used up")
                case TicketAnswer.HELD if ticket.age > TICKET_SECONDS:
                    raise Never("provider_uncertain", "a run ended between ticket and task")
                case TicketAnswer.HELD:
                    left = TICKET_SECONDS + 1 - ticket.age
                    self._pause(session, min(left, self._rules.poll_interval))
                case TicketAnswer.TASK:
                    if task := self._repeat(session, lambda: self._sessions.task(session.id)):
                        return task

    def _settle(self, attempt: str, outcome: Outcome, task: ProviderTask | None = None) -> None:
        """Write down what became of an attempt, also while the process is asked to end."""
        tries = 0
        while tries < LAST_TRIES:
            try:
                return self._books.settle(attempt, outcome, task)
            except Unavailable:
                if self._waiting.wait(AWAY_SECONDS):
                    tries += 1
                    time.sleep(1)
        raise Interrupted

    # -- the wait ------------------------------------------------------------------------

    def _await_result(self, session: Session, task: ProviderTask, report: Report) -> str:
        """Look until there is a picture; an ERROR, which is not charged, submits once more."""
        while True:
            report("waiting", task.id)
            progress = self._look(session, task)
            if progress.result_url is not None:
                return progress.result_url
            if progress.failure is None:
                self._pause(session, self._rules.poll_interval)
            elif not progress.charged and self._is_forgiven(session, task):
                logger.warning("session=%s task %s ended ERROR; once more", session.id, task.id)
                task = self._submit(session, report)
            else:
                raise Never(progress.failure, f"task {task.id} failed")

    def _is_forgiven(self, session: Session, task: ProviderTask) -> bool:
        return self._repeat(session, lambda: self._books.forgive_error(session.id, task.id))

    def _look(self, session: Session, task: ProviderTask) -> Progress:
        unknown_until = time.monotonic() + MISSING_SECONDS
        while True:
            try:
                return self._repeat(session, lambda: self._provider.look(task))
            except Missing:
                if time.monotonic() > unknown_until:
                    raise Never("provider_failed", f"task {task.id} is not known") from None
                self._pause(session, self._rules.poll_interval)

    # -- the result ----------------------------------------------------------------------

    @contextmanager
    def _room(self, session: Session) -> Iterator[None]:
        """Wait for room for a picture in memory."""
        while not self._rooms.acquire(timeout=LOOK_SECONDS):
            self._pause(session, 0)
        try:
            yield
        finally:
            self._rooms.release()

    def _deliver(self, session: Session, url: str, report: Report) -> None:
        """Fetch the picture, again and again if need be, and store it.

        It is paid for, so only the deadline ends this.
        """
        for backoff in _backoffs():
            with self._room(session):
                report("fetching", None)
                try:
                    picture = self._provider.fetch(url)
                except Later as fault:
                    pause = fault.retry_after or backoff
                    logger.warning("session=%s %s; again in %g s", session.id, fault, pause)
                else:
                    report("storing", None)
                    return self._finish(session, picture)
            self._pause(session, pause)
        raise AssertionError("unreachable")

    def _finish(self, session: Session, picture: bytes) -> None:
        """Store the picture, then say so.

        If that finds no unfinished session, another run may have been faster, and the picture
        is its own, too. It goes only if the session failed or its row is gone.
        """
        path = session.result_path
        self._repeat(session, lambda: self._pictures.put(path, picture, "image/png", replace=True))
        if self._insist(lambda: self._sessions.succeed(session.id, path)):
            self._say(session, Look(Status.SUCCESS))
            logger.info("session=%s success", session.id)
            return
        if self._insist(lambda: self._sessions.status(session.id)) in (None, Status.FAILED):
            self._insist(lambda: self._pictures.remove([path]))
        raise Cancelled

    # -- waiting -------------------------------------------------------------------------

    def _repeat(self, session: Session, call: Callable[[], T]) -> T:
        """Make a call again, ever later, while it says Later or what it needs is away."""
        for backoff in _backoffs():
            try:
                return call()
            except (Later, Unavailable) as fault:
                asked = fault.retry_after if isinstance(fault, Later) else None
                pause = asked or backoff
                logger.warning("session=%s %s; again in %g s", session.id, fault, pause)
                self._pause(session, pause)
        raise AssertionError("unreachable")

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call to the database or the storage again until it is there."""
        while True:
            try:
                return call()
            except Unavailable:
                if self._waiting.wait(AWAY_SECONDS):
                    raise Interrupted from None

    def _pause(self, session: Session, seconds: float) -> None:
        """Wait, within the session's deadline, looking often whether it is still wanted."""
        ends_at = time.monotonic() + seconds
        while True:
            left = self._rules.deadline - _age(session)
            if left <= 0:
                raise Never("deadline_exceeded", f"older than {self._rules.deadline:g} s")
            step = min(ends_at - time.monotonic(), left, LOOK_SECONDS)
            if self._waiting.wait(max(0.0, step)):
                raise Interrupted
            if self._jobs.cancelled(session.id):
                raise Cancelled
            if time.monotonic() >= ends_at:
                return


def _age(session: Session) -> float:
    """Seconds since the session was made."""
    return (datetime.now(UTC) - session.created_at).total_seconds()


def _backoffs() -> Iterator[float]:
    return chain(BACKOFF_SECONDS, repeat(BACKOFF_SECONDS[-1]))
