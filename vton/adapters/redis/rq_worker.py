"""An RQ worker that runs its jobs on threads of one process.

RQ's own workers run one job at a time, and a try-on is half a minute of waiting. This one
takes a slot, takes a job, and runs it on a thread. Of RQ 3.0's `BaseWorker` it uses what
keeps account of a job (`prepare_execution`, `perform_job`, `maintain_heartbeats`,
`run_maintenance_tasks`, `register_birth`, `register_death`) and replaces

- `work`: its loop ends for good when Redis restarts, and a signal that arrives between
  taking a job and starting it loses the job. Ours survives both: a signal only sets an
  event, and the queue is asked for two seconds at a time;
- `execute_job`: starts a thread;
- `get_heartbeat_ttl`: three beats, so that a dead worker's jobs are missed after 30 s and
  not after 14 minutes;
- the death penalty, which uses SIGALRM and so the main thread: jobs here bound themselves;
- `job_class.func`: only listed functions are run, since RQ would import any dotted path.

It does not subscribe to RQ's commands, which can stop a forked job only.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.executions import Execution
from rq.job import Job
from rq.timeouts import BaseDeathPenalty
from rq.worker import BaseWorker, WorkerStatus

from vton import metrics
from vton.adapters.redis.queue import Liveness

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10
DEQUEUE_SECONDS = 2
MAINTENANCE_SECONDS = 30
REGISTER_SECONDS = 1.0
"""How often it is looked whether Redis still knows this worker."""
AWAY_SECONDS = 1.0
"""How long to wait before Redis is tried again."""
GRACE_SECONDS = 20.0
"""How long running jobs may take to end after SIGTERM; Heroku kills after 30."""


class NoDeathPenalty(BaseDeathPenalty):
    """Leaves time limits to the job itself."""

    def setup_death_penalty(self) -> None:
        """Do nothing."""

    def cancel_death_penalty(self) -> None:
        """Do nothing."""


class ThreadedWorker(BaseWorker):
    """Runs up to `concurrency` jobs of one queue at once, until `shutdown` is set.

    `handlers` are the functions that jobs may name; `liveness` is told which run.
    """

    death_penalty_class = NoDeathPenalty

    def __init__(
        self,
        queue: Queue,
        handlers: Mapping[str, Callable[..., object]],
        concurrency: int,
        shutdown: threading.Event,
        liveness: Liveness,
    ) -> None:
        super().__init__(
            [queue],
            connection=queue.connection,
            serializer=queue.serializer,
            job_class=_listed_jobs(handlers),
            worker_ttl=3 * BEAT_SECONDS,
            job_monitoring_interval=BEAT_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
            prepare_for_work=False,  # it would ask Redis, which may be away yet
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._stop = shutdown
        self._liveness = liveness
        self._slots = threading.Semaphore(concurrency)
        self._registered_until = 0.0
        self._running: dict[Execution, tuple[Job, threading.Thread]] = {}

    def work(self, *_args: Any, burst: bool = False, **_kwargs: Any) -> bool:
        """Run jobs until `shutdown` is set; in burst mode until the queue is empty."""
        beats = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
        beats.start()
        while not self._stop.is_set():
            try:
                if not self._take_one(burst) and burst:
                    break
            except RedisError as error:
                metrics.FAULTS.labels("redis").inc()
                logger.warning("Redis is away: %s", type(error).__name__)
                self._stop.wait(AWAY_SECONDS)
            except Exception:
                logger.exception("a job was not started; the sweep will find it")
                self._stop.wait(AWAY_SECONDS)
        self._finish_running()
        self._stop.set()
        return True

    def install_signal_handlers(self) -> None:
        """Have SIGTERM and SIGINT set `shutdown`, and nothing else."""
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Start a thread for the job; it gives its slot back."""
        self._liveness.keep([job.id])
        execution = self.prepare_execution(job)
        thread = threading.Thread(
            target=self._perform, args=(job, queue, execution), name=job.id, daemon=True
        )
        self._running[execution] = job, thread
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._running.pop(execution)
            raise

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Seconds after which a job that was not heard of is taken for lost."""
        return 3 * BEAT_SECONDS

    def _take_one(self, burst: bool) -> bool:
        """Take a slot and a job and start it; False when there is no job."""
        if not self._slots.acquire(timeout=AWAY_SECONDS):
            return True
        started = False
        try:
            self._register()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            found = self._dequeue(None if burst else DEQUEUE_SECONDS)
            if found is not None and not self._has(found[0]):
                self.execute_job(*found)
                started = True
        finally:
            if not started:
                self._slots.release()
        return started

    def _has(self, job: Job) -> bool:
        """Whether this worker runs the job already; then it only leaves the queue."""
        if all(job.id != running.id for running, _ in list(self._running.values())):
            return False
        self.queues[0].intermediate_queue.remove(job.id)
        return True

    def _dequeue(self, timeout: int | None) -> tuple[Job, Queue] | None:
        try:
            return self.queue_class.dequeue_any(
                self.queues,
                timeout,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
        except DequeueTimeout:
            return None

    def _perform(self, job: Job, queue: Queue, execution: Execution) -> None:
        try:
            self.perform_job(job, queue, execution)
        except Exception:
            # The session has its end in the database; only RQ's own record of it is open.
            logger.exception("ended, and Redis could not be told", extra={"session": job.id})
        finally:
            self.executions.pop(execution.id, None)
            self._running.pop(execution, None)
            self._slots.release()
            with suppress(RedisError):
                self._liveness.drop(job.id)

    def _register(self) -> None:
        """Register with Redis at the start, and again after it was emptied."""
        if time.monotonic() < self._registered_until:
            return
        self._registered_until = time.monotonic() + REGISTER_SECONDS
        if not self.connection.exists(self.key):
            self.register_birth()
            self.set_state(WorkerStatus.BUSY if self._running else WorkerStatus.IDLE)

    def _beat(self) -> None:
        """Say every few seconds that this worker and its jobs are alive."""
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self.heartbeat()
                self._liveness.keep([job.id for job, _ in list(self._running.values())])
                for execution, (job, _) in list(self._running.items()):
                    self.maintain_heartbeats(job, execution)
            except RedisError as error:
                logger.warning("no heartbeat: %s", type(error).__name__)

    def _finish_running(self) -> None:
        """Give running jobs their grace, then say goodbye."""
        ends_at = time.monotonic() + GRACE_SECONDS
        for _, thread in list(self._running.values()):
            thread.join(max(0.0, ends_at - time.monotonic()))
        if self._running:
            logger.warning("%d jobs did not end in time", len(self._running))
        try:
            self.register_death()
        except RedisError:
            logger.warning("Redis is away; it will forget this worker by itself")

    def _request_stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._stop.set()


def _listed_jobs(handlers: Mapping[str, Callable[..., object]]) -> type[Job]:
    """A Job that runs the listed functions and refuses any other name."""

    class ListedJob(Job):
        @property
        def func(self) -> Callable[..., object]:
            handler = handlers.get(self.func_name or "")
            if handler is None:
                raise ValueError("this worker does not run that function")
            return handler

    return ListedJob
