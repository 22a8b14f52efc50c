"""Redis, and the RQ queue on it: one job per try-on, named after the session, carrying its id."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from vton.errors import Unavailable
from vton.tryon.jobs import RUN

QUEUE = "try-on"
FINISHED_SECONDS = 600
"""How long RQ keeps what it knows of a job that ended."""
CANCELLED_SECONDS = 3600
"""How long a cancellation is remembered: longer than any run lasts."""


def connect_redis(url: str, connections: int, ssl_cert_reqs: str = "required") -> Redis:
    """Return a client whose threads share at most `connections` connections.

    Small hosted plans cap clients at 20. `ssl_cert_reqs` is "none" where the server's
    certificate is self-signed, as Heroku's is. Nothing is decoded: RQ stores bytes.
    """
    tls = {"ssl_cert_reqs": ssl_cert_reqs} if url.startswith("rediss://") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5,
        socket_connect_timeout=2,
        socket_timeout=5,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
        **tls,
    )
    return Redis(connection_pool=pool)


def open_queue(redis: Redis) -> Queue:
    """Return the queue of try-ons."""
    return Queue(QUEUE, connection=redis, serializer=JSONSerializer)


class SessionJobs:
    """Implements `vton.tryon.ports.Jobs`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queue = open_queue(redis)

    def enqueue(self, session_id: str) -> None:
        with _unavailable_when_away():
            self._queue.enqueue(
                RUN,
                session_id,
                job_id=session_id,
                job_timeout=-1,
                result_ttl=FINISHED_SECONDS,
                failure_ttl=FINISHED_SECONDS,
                description="try-on",
            )

    def cancel(self, session_id: str) -> None:
        with _unavailable_when_away():
            self._redis.set(_cancelled_key(session_id), 1, ex=CANCELLED_SECONDS)
            try:
                job = Job.fetch(session_id, self._redis, serializer=JSONSerializer)
                if job.is_queued:
                    job.delete()
            except (NoSuchJobError, InvalidJobOperation):
                pass  # it is over, or a worker has it and will look

    def cancelled(self, session_id: str) -> bool:
        try:
            return bool(self._redis.exists(_cancelled_key(session_id)))
        except RedisError:
            return False


def _cancelled_key(session_id: str) -> str:
    return f"vton:cancelled:{session_id}"


@contextmanager
def _unavailable_when_away() -> Iterator[None]:
    try:
        yield
    except RedisError:
        raise Unavailable from None
