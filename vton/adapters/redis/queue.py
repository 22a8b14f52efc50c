"""The RQ queue: one job per try-on, named after the session, carrying its id."""

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from vton import metrics
from vton.adapters.clock import SystemClock
from vton.adapters.redis.status_cache import UNFINISHED_SECONDS, dump, status_key
from vton.errors import Unavailable
from vton.tryon.jobs import RUN
from vton.tryon.model import SessionState, Status

QUEUE = "try-on"
FINISHED_SECONDS = 600
"""How long RQ keeps what it knows of a job that ended."""
CANCELLED_SECONDS = 3600
"""How long a cancellation is remembered: longer than any run lasts."""
ALIVE_SECONDS = 30
"""How long a run that says nothing is taken to be alive; it says so every ten seconds."""
LEADER_SECONDS = 9
"""One worker at a time sweeps, and no sooner than this after the last pass began."""
GENERATION_KEY = "vton:redis_generation"
"""Is there until Redis is emptied."""
NEW_GENERATION_KEY = "vton:redis_generation:new"
NEW_GENERATION_SECONDS = 25
"""So long after Redis was emptied all living runs have said again that they live."""
LEADER_KEY = "vton:sweep:leader"


_local_time = SystemClock().now


def open_queue(redis: Redis) -> Queue:
    """Return the queue of try-ons."""
    return Queue(QUEUE, connection=redis, serializer=JSONSerializer)


class SessionJobs:
    """Implements `vton.tryon.ports.queue.Jobs`."""

    def __init__(self, redis: Redis, now: Callable[[], datetime] = _local_time) -> None:
        self._redis = redis
        self._queue = open_queue(redis)
        self._now = now

    def enqueue(self, user_id: str, session_id: str) -> None:
        queued = dump(SessionState(Status.QUEUED, queued_at=self._now().timestamp()))
        with _unavailable_when_away(), self._redis.pipeline() as pipeline:
            self._add(session_id, pipeline)
            # Unless it was deleted meanwhile: its owner may see the row before its id is told.
            pipeline.set(status_key(user_id, session_id), queued, nx=True, ex=UNFINISHED_SECONDS)
            pipeline.execute()

    def enqueue_again(self, session_id: str) -> None:
        with _unavailable_when_away():
            self._forget(session_id)
            self._redis.delete(_cancelled_key(session_id))
            self._add(session_id)

    def _add(self, session_id: str, pipeline: Pipeline | None = None) -> None:
        self._queue.enqueue(
            RUN,
            session_id,
            job_id=session_id,
            job_timeout=-1,
            result_ttl=FINISHED_SECONDS,
            failure_ttl=FINISHED_SECONDS,
            description="try-on",
            pipeline=pipeline,
        )

    def _forget(self, session_id: str) -> None:
        """Remove what a dead worker has left of a job."""
        self._queue.intermediate_queue.remove(session_id)
        with suppress(NoSuchJobError, InvalidJobOperation):
            job = Job.fetch(session_id, self._redis, serializer=JSONSerializer)
            for execution_id in job.execution_registry.get_execution_ids():
                execution = Execution(execution_id, session_id, self._redis)
                job.started_job_registry.remove_execution(execution)
                self._redis.delete(execution.key)
            self._redis.delete(job.execution_registry.key)
            job.delete()

    def cancel(self, session_id: str) -> None:
        with _unavailable_when_away():
            self._redis.set(_cancelled_key(session_id), 1, ex=CANCELLED_SECONDS)
            with suppress(NoSuchJobError, InvalidJobOperation):
                job = Job.fetch(session_id, self._redis, serializer=JSONSerializer)
                if job.is_queued:
                    job.delete()

    def exists(self, session_id: str) -> bool:
        with _unavailable_when_away():
            return Job.exists(session_id, self._redis)

    def cancelled(self, session_id: str) -> bool:
        try:
            return bool(self._redis.exists(_cancelled_key(session_id)))
        except RedisError:
            return False

    def waiting(self) -> set[str]:
        with _unavailable_when_away():
            return set(self._queue.get_job_ids())

    def running(self, session_ids: Sequence[str]) -> set[str]:
        if not session_ids:
            return set()
        with _unavailable_when_away():
            alive = self._redis.mget([_alive_key(session_id) for session_id in session_ids])
        seen = zip(session_ids, cast(list[bytes | None], alive), strict=True)
        return {session_id for session_id, value in seen if value}

    def expire_orphaned_jobs(self, unfinished: Collection[str]) -> None:
        """Give an end to job hashes that have none and that no unfinished session has.

        RQ takes the end off a job's hash when the job starts, and puts one on when it is over;
        if Redis dies in between, or is emptied under a run that then notes its step, a hash
        stays for ever.
        """
        kept = {f"{Job.redis_job_namespace_prefix}{session_id}" for session_id in unfinished}
        with _unavailable_when_away():
            match = f"{Job.redis_job_namespace_prefix}*"
            found = {key.decode() for key in self._redis.scan_iter(match, count=1000)} - kept
            with self._redis.pipeline(transaction=False) as pipeline:
                for key in found:
                    pipeline.ttl(key)
                for key, seconds in zip(found, pipeline.execute(), strict=True):
                    if seconds == -1:  # it has no end
                        pipeline.expire(key, FINISHED_SECONDS)
                pipeline.execute()

    def try_acquire_leadership(self) -> bool:
        with _unavailable_when_away():
            if not self._redis.set(LEADER_KEY, 1, nx=True, ex=LEADER_SECONDS):
                return False
            # The generation has no end but Redis being emptied.
            if self._redis.set(GENERATION_KEY, secrets.token_hex(8), nx=True):
                self._redis.set(NEW_GENERATION_KEY, 1, ex=NEW_GENERATION_SECONDS)
            return not self._redis.exists(NEW_GENERATION_KEY)


class Liveness:
    """How a run proves that it lives: a key of its own, written again and again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def keep(self, session_ids: Collection[str]) -> None:
        """Say that these sessions have a living run. Raises RedisError."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for session_id in session_ids:
                pipeline.set(_alive_key(session_id), 1, ex=ALIVE_SECONDS)
            pipeline.execute()

    def drop(self, session_id: str) -> None:
        """Say that this session's run is over. Raises RedisError."""
        self._redis.delete(_alive_key(session_id))


def _cancelled_key(session_id: str) -> str:
    return f"vton:cancelled:{session_id}"


def _alive_key(session_id: str) -> str:
    return f"vton:alive:{session_id}"


@contextmanager
def _unavailable_when_away() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        metrics.FAULTS.labels("redis").inc()
        raise Unavailable(f"Redis cannot be reached ({type(error).__name__})") from None
