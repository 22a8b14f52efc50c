"""Redis where it only makes things faster: what it does not answer is found elsewhere."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from redis import Redis
from redis.connection import AbstractConnection
from redis.exceptions import RedisError

from vton import metrics

logger = logging.getLogger(__name__)

AWAY_SECONDS = 20.0
"""How long a Redis that has failed, or hangs, is not asked again.

By then a status that it kept, and that could not be brought up to date meanwhile, has expired:
else a success would be processing again.
"""

_WRITE_OF_NOTHING = ("UNLINK", "vton:nothing")
"""Sent with every read, since only a primary takes a write: one that is not any more would go on
answering with what was so before."""

T = TypeVar("T")


class Cache:
    """Asks Redis, and does without it while it is away. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._values = _SharedReads(redis)
        self._not_before = 0.0

    def ask(self, call: Callable[[Redis], T], otherwise: T) -> T:
        """Return what `call` does, or `otherwise` when Redis is away."""
        if time.monotonic() < self._not_before:
            return otherwise
        return self.require(call, otherwise)

    def require(self, call: Callable[[Redis], T], otherwise: T) -> T:
        """Do the same, also when Redis was away a moment ago: for what it must be told."""
        try:
            return call(self._redis)
        except RedisError as error:
            self._not_before = time.monotonic() + AWAY_SECONDS
            metrics.FAULTS.labels("redis").inc()
            logger.warning("doing without Redis: %s", type(error).__name__)
            return otherwise

    def read(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what is under each key: None where there is nothing, or Redis is away."""
        return self.ask(lambda _: self._values.read(keys), [None] * len(keys))


class _Read:
    """Keys that somebody wants to read, and what came of it."""

    def __init__(self, keys: Sequence[str], *, leads: bool) -> None:
        self.keys = keys
        self.leads = leads
        self.woken = None if leads else threading.Event()
        self.values: Sequence[bytes | None] | None = None
        self.error: RedisError | None = None


class _SharedReads:
    """Makes one `MGET` of all reads that come while another one is under way.

    Whoever comes first leads, that is, reads for all that wait, and then has one of those who
    came meanwhile lead. So a busy process needs one connection, and nobody is overtaken, as
    those are who wait for a connection of a pool.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: AbstractConnection | None = None
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: list[_Read] = []

    def read(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what is under each key. Raises RedisError."""
        with self._lock:
            mine = _Read(keys, leads=not self._busy)
            self._waiting.append(mine)
            self._busy = True
        if mine.woken:
            self._wait(mine, mine.woken)
        if mine.leads:
            self._read_for_all()
        if mine.error is not None:
            raise mine.error
        return cast(Sequence[bytes | None], mine.values)

    def _wait(self, mine: _Read, woken: threading.Event) -> None:
        """Wait for the answer, or to lead; whoever is ended meanwhile leaves nobody waiting."""
        try:
            woken.wait()
        except BaseException:
            with self._lock:
                if mine in self._waiting and not mine.leads:
                    self._waiting.remove(mine)
            if mine.leads:
                self._read_for_all()
            raise

    def _read_for_all(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting, []
        keys = [key for one in together for key in one.keys]
        error: RedisError | None = RedisError("the read was broken off")
        values: list[bytes | None] = []
        try:
            values = self._ask(keys)
            error = None
        except RedisError as fault:
            error = fault
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._busy = following is not None
                if following:
                    following.leads = True
            start = 0
            for one in together:
                one.error, one.values = error, values[start : start + len(one.keys)]
                start += len(one.keys)
                if one.woken:
                    one.woken.set()
            if following and following.woken:
                following.woken.set()

    def _ask(self, keys: Sequence[str]) -> list[bytes | None]:
        """Ask on a connection of its own, without what a client does for each command.

        A connection on which anything went wrong is broken off: an answer that was left on it
        would be taken for that to the next question, which is somebody else's.
        """
        connection = self._connection = self._connection or self._pool.get_connection()

        def break_off(_error: Exception | None = None) -> None:
            connection.disconnect()  # type: ignore[no-untyped-call]

        def ask() -> list[bytes | None]:
            commands = [("MGET", *keys), _WRITE_OF_NOTHING]
            packed = connection.pack_commands(commands)  # type: ignore[no-untyped-call]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
            values = connection.read_response()
            connection.read_response()
            return cast(list[bytes | None], values)

        try:
            values = connection.retry.call_with_retry(ask, break_off)
            if not isinstance(values, list) or len(values) != len(keys):
                raise RedisError("an answer to something else")
        except BaseException:
            break_off()
            raise
        return values
