"""Redis where it only makes things faster: what it does not answer is found elsewhere."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

AWAY_SECONDS = 10.0
"""How long a Redis that has failed, or hangs, is not asked again."""

T = TypeVar("T")


class Cache:
    """Asks Redis, and does without it while it is away. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._not_before = 0.0

    def ask(self, call: Callable[[Redis], T], otherwise: T) -> T:
        """Return what `call` does, or `otherwise` when Redis is away."""
        if time.monotonic() < self._not_before:
            return otherwise
        return self.insist(call, otherwise)

    def insist(self, call: Callable[[Redis], T], otherwise: T) -> T:
        """Do the same, also when Redis was away a moment ago: for what it must be told."""
        try:
            return call(self._redis)
        except RedisError as error:
            self._not_before = time.monotonic() + AWAY_SECONDS
            logger.warning("doing without Redis: %s", type(error).__name__)
            return otherwise
