"""The circuit breaker in Redis: submits pause while the provider says that we have no money."""

import logging

from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 60
TRIPPED_SECONDS = 3600
"""After so long without a submit that tells, all go ahead again; refusals cost nothing."""
PROBE_SECONDS = 25
"""How long the one that goes ahead has: longer than a submit lasts."""
PROBE_WAIT_SECONDS = 1.0
OTHERS_FIRST_SECONDS = 2 * PAUSE_SECONDS
"""So long after it has tripped the breaker a session leaves the probe to the others."""
PAUSED_KEY = "vton:circuit_breaker:paused"
TRIPPED_KEY = "vton:circuit_breaker:tripped"
PROBE_KEY = "vton:circuit_breaker:probe"


class RedisCircuitBreaker:
    """Implements `vton.tryon.ports.queue.CircuitBreaker`.

    `paused` lives for a minute. `tripped` names a session and stays until a submit is accepted, or
    for an hour: while it is there and `paused` is not, only the holder of `probe` may submit, and
    that session only where no other has come for another minute. Without Redis all go ahead; the
    provider refuses them for nothing.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def seconds_until_allowed(self, session_id: str) -> float:
        try:
            tripped_by = self._redis.get(TRIPPED_KEY)
            if tripped_by is None:
                return 0.0
            paused_ms = self._redis.pttl(PAUSED_KEY)
            if paused_ms > 0:
                return float(paused_ms) / 1000
            if tripped_by == session_id.encode() and self._seconds_tripped() < OTHERS_FIRST_SECONDS:
                return PROBE_WAIT_SECONDS
            first = self._redis.set(PROBE_KEY, 1, nx=True, ex=PROBE_SECONDS)
            return 0.0 if first else PROBE_WAIT_SECONDS
        except RedisError:
            return 0.0

    def _seconds_tripped(self) -> float:
        return TRIPPED_SECONDS - float(self._redis.pttl(TRIPPED_KEY)) / 1000

    def tripped(self) -> bool:
        try:
            return bool(self._redis.exists(TRIPPED_KEY))
        except RedisError:
            return True

    def trip(self, session_id: str) -> None:
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.set(PAUSED_KEY, 1, ex=PAUSE_SECONDS)
                pipeline.set(TRIPPED_KEY, session_id, ex=TRIPPED_SECONDS)
                pipeline.delete(PROBE_KEY)
                pipeline.execute()
        except RedisError:
            logger.warning("the circuit breaker could not be set: Redis is away")

    def close(self) -> None:
        try:
            if self._redis.delete(TRIPPED_KEY, PAUSED_KEY, PROBE_KEY):
                logger.warning("the provider takes submits again")
        except RedisError:
            logger.warning("the circuit breaker could not be lifted: Redis is away")

    def paused_for(self) -> int:
        try:
            return max(0, -(-self._redis.pttl(PAUSED_KEY) // 1000))
        except RedisError:
            return 0
