"""The rules of a run, which takes a session from the queue to its end; they know no framework.

A run may end at any moment, and another may take over, or even run beside it. What keeps that
harmless: the ledger, which lets one attempt at a time submit; the task's id, stored at once, by
which a later run goes on without paying; one name for the result; and writes that change an
unfinished session only.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from vton import metrics
from vton.tryon.model import (
    ProviderTask,
    Session,
    SessionState,
    Status,
    failed,
    thumbnail_path,
)
from vton.tryon.ports.clock import Clock
from vton.tryon.ports.database import Sessions, SubmitLedger
from vton.tryon.ports.photos import Thumbnails
from vton.tryon.ports.provider import (
    PermanentError,
    Progress,
    Provider,
    ResultLapsed,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.queue import StatusCache, TypicalDurations
from vton.tryon.ports.storage import PictureRefused, Pictures
from vton.tryon.result_check import ResultCheck
from vton.tryon.retries import CANCEL_CHECK_SECONDS, Cancelled, Interrupted, Retries, backoffs
from vton.tryon.submitter import Report, Step, Submitter

logger = logging.getLogger(__name__)

NOT_FOUND_SECONDS = 30.0
"""So long the provider may not know a task that it has just accepted."""
TELL_SECONDS = 16.0
"""Longer than polls believe what they were told of a run, see the status cache."""
TELL_PAUSE_SECONDS = 0.2
PICTURES = 20
"""How many pictures are fetched and stored at once: what bounds the worker's memory."""


@dataclass
class _Steps:
    """Passes each step of a run on, and counts how often the provider was asked."""

    report: Report
    looks: int = 0

    def __call__(self, step: Step, task_id: str | None) -> None:
        self.report(step, task_id)


@dataclass(frozen=True, kw_only=True)
class SessionRunner:
    """Runs sessions; one object serves all threads of a worker.

    `providers` are all that a session's task may be with, by name; `poll_interval` is in seconds.
    """

    sessions: Sessions
    ledger: SubmitLedger
    pictures: Pictures
    status_cache: StatusCache
    providers: Mapping[str, Provider]
    submitter: Submitter
    photos: Thumbnails
    result_check: ResultCheck
    retries: Retries
    clock: Clock
    poll_interval: float
    _picture_slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(PICTURES)
    )

    def run(self, session_id: str, report: Report = lambda *_: None) -> None:
        """Take a session to its end.

        Raises Interrupted when the process is asked to end first; the session goes on in
        another worker.
        """
        session = self.retries.until_available(lambda: self.sessions.claim(session_id))
        if session is None:
            logger.info("has ended or is gone")
            return
        queued_at = session.created_at.timestamp()
        # A run that took over from another began earlier than it can know.
        began_at = None if session.task else self.clock.now().timestamp()
        self._publish(
            session, SessionState(Status.PROCESSING, queued_at=queued_at, began_at=began_at)
        )
        steps = _Steps(report)
        try:
            task, picture = self._make_picture(session, steps)
        except Cancelled:
            logger.info("was ended elsewhere")
        except PermanentError as failure:
            logger.warning("%s: %s", failure.code, failure)
            self._fail(session, failure.code, steps.looks)
        except Interrupted:
            raise
        except Exception:
            logger.exception("broke")
            self._fail(session, "interrupted", steps.looks)
        else:
            if began_at:
                took = self.clock.now().timestamp() - began_at
                durations = TypicalDurations(began_at - queued_at, took)
                self.status_cache.record_durations(durations)
            self.result_check.check(session, task, picture)

    def _make_picture(self, session: Session, report: "_Steps") -> tuple[ProviderTask, bytes]:
        """Have the picture made and store it. Return the task that made it, and the picture."""
        task = session.task or self.submitter.submit(session, report)
        for pause in backoffs():
            url, task = self._await_result(session, task, report)
            try:
                return task, self._deliver(session, self._provider_of(task), url, report)
            except ResultLapsed as lapsed:
                logger.warning("%s; for a fresh address in %g s", lapsed, pause)
                self.retries.sleep_unless_cancelled(session, pause)
        raise AssertionError("unreachable")

    def _provider_of(self, task: ProviderTask) -> Provider:
        """Return who has a task. Raises PermanentError where we do not know them any more."""
        provider = self.providers.get(task.provider)
        if provider is None:
            raise PermanentError("provider_failed", f"no provider {task.provider!r} is set up")
        return provider

    def _fail(self, session: Session, code: str, looks: int) -> None:
        if self.retries.until_available(lambda: self.sessions.fail(session.id, code, looks)):
            metrics.ENDED.labels(code).inc()
            self._publish(session, failed(code))

    def _publish(self, session: Session, state: SessionState) -> None:
        """Tell polls what has become of a session.

        Of its end while they cannot be told, too, until what they were told before has expired.
        """
        until = self.clock.monotonic() + (TELL_SECONDS if state.status.ended else 0)
        while not self.status_cache.advance(session.user_id, session.id, state):
            if self.clock.monotonic() >= until:
                return
            self.clock.sleep(TELL_PAUSE_SECONDS)

    # -- the wait ------------------------------------------------------------------------

    def _await_result(
        self, session: Session, task: ProviderTask, report: "_Steps"
    ) -> tuple[str, ProviderTask]:
        """Poll until there is a picture. Return its URL, and the task that made it.

        A task that ended ERROR, which is not charged, is submitted once more.
        """
        while True:
            report("waiting", task.id)
            report.looks += 1
            progress = self._poll(session, task)
            if progress.result_url is not None:
                return progress.result_url, task
            if progress.failure is None:
                self.retries.sleep_unless_cancelled(session, self.poll_interval)
            elif not progress.charged and self._may_resubmit(session, task):
                logger.warning("task %s ended ERROR; once more", task.id)
                task = self.submitter.submit(session, report)
            else:
                raise PermanentError(progress.failure, f"task {task.id} failed")

    def _may_resubmit(self, session: Session, task: ProviderTask) -> bool:
        return self.retries.with_backoff(
            session, lambda: self.ledger.allow_one_resubmit(session.id, task.id)
        )

    def _poll(self, session: Session, task: ProviderTask) -> Progress:
        """Ask the provider once, and again while it cannot answer or has yet to know the task."""
        provider = self._provider_of(task)
        not_found_until = None
        while True:
            try:
                return self.retries.with_backoff(session, lambda: provider.poll(task))
            except TaskNotFound:
                if not_found_until is None:
                    not_found_until = self.clock.monotonic() + NOT_FOUND_SECONDS
                if self.clock.monotonic() > not_found_until:
                    raise PermanentError("provider_failed", f"task {task.id} unknown") from None
                self.retries.sleep_unless_cancelled(session, self.poll_interval)

    # -- the result ----------------------------------------------------------------------

    @contextmanager
    def _picture_slot(self, session: Session) -> Iterator[None]:
        """Wait until one more picture may be in memory."""
        while not self._picture_slots.acquire(timeout=CANCEL_CHECK_SECONDS):
            self.retries.sleep_unless_cancelled(session, 0)
        try:
            yield
        finally:
            self._picture_slots.release()

    def _deliver(self, session: Session, provider: Provider, url: str, report: "_Steps") -> bytes:
        """Download the picture, again and again if need be, store it and return it.

        It is paid for, so only the deadline ends this. Raises ResultLapsed where there is nothing
        at its address any more.
        """
        for backoff in backoffs():
            with self._picture_slot(session):
                report("fetching", None)
                try:
                    picture = provider.download_result(url)
                except RetryableError as fault:
                    pause = fault.retry_after or backoff
                    logger.warning("%s; again in %g s", fault, pause)
                else:
                    report("storing", None)
                    self._finish(session, picture, report.looks)
                    return picture
            self.retries.sleep_unless_cancelled(session, pause)
        raise AssertionError("unreachable")

    def _finish(self, session: Session, picture: bytes, looks: int) -> None:
        """Store the picture, then say so.

        If that finds no unfinished session, another run may have been faster, and the picture
        is its own, too. It goes only if the session failed or its row is gone.
        """
        path, until_available = session.result_path, self.retries.until_available
        try:
            self.retries.with_backoff(
                session, lambda: self.pictures.put(path, picture, "image/png", replace=True)
            )
        except PictureRefused as refusal:
            raise PermanentError("result_unusable", f"the storage: {refusal}") from None
        thumbnail = thumbnail_path(path)
        self._store_thumbnail(thumbnail, picture)
        if until_available(lambda: self.sessions.succeed(session.id, path, looks)):
            self._publish(session, SessionState(Status.SUCCESS))
            seconds = self.retries.age(session)
            metrics.ENDED.labels(Status.SUCCESS).inc()
            metrics.SESSION_SECONDS.observe(seconds)
            logger.info("success", extra={"looks": looks, "seconds": round(seconds, 1)})
            return
        status = until_available(lambda: self.sessions.status(session.id))
        if status is Status.SUCCESS:  # or it was this run's own write, whose answer was lost
            self._publish(session, SessionState(Status.SUCCESS))
        elif status is None or status is Status.FAILED:
            until_available(lambda: self.pictures.remove([path, thumbnail]))
        raise Cancelled

    def _store_thumbnail(self, path: str, picture: bytes) -> None:
        """Store a small picture of the result, if that can be done at once: lists do without."""
        try:
            small = self.photos.thumbnail(picture)
            self.pictures.put(path, small, "image/webp", replace=True)
        except Exception as fault:  # whatever it is, the picture is there and is paid for
            logger.warning("no thumbnail: %s", type(fault).__name__)
