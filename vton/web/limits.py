"""How many requests a minute one user may make, counted in Redis by the library `limits`.

`limits` is what flask-limiter is made of; that one keeps its settings in a global that two
applications in one process would share. Everybody is let through while Redis is away, with a
warning in the log: what costs money is counted in the database.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import ParamSpec, cast

from flask import current_app
from flask.typing import ResponseReturnValue
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis
from redis.exceptions import RedisError

from vton.errors import Problem
from vton.web.auth import current_user

logger = logging.getLogger(__name__)

P = ParamSpec("P")

FAILED_LOGINS = 10
"""So often a minute an operator's password may be guessed from one address."""


class RequestRate:
    """Counts requests on our own Redis connections; `per_minute` is 0 for no limit."""

    def __init__(self, redis: Redis, per_minute: int) -> None:
        storage = RedisStorage("redis://", connection_pool=redis.connection_pool)
        self._window = FixedWindowRateLimiter(storage)
        self._limit = RateLimitItemPerMinute(per_minute, namespace="vton:rate")
        self._not_found = RateLimitItemPerMinute(per_minute, namespace="vton:rate:not_found")
        self._limited = per_minute > 0
        self._failed_logins = RateLimitItemPerMinute(FAILED_LOGINS, namespace="vton:rate:login")
        self._own = FixedWindowRateLimiter(MemoryStorage())

    def count(self, user_id: str) -> None:
        """Count a request; raises Problem `rate_limited` when it is one too many."""
        self._check(self._window.hit, self._limit, user_id)

    @contextmanager
    def counting_not_found(self, user_id: str) -> Iterator[None]:
        """Count only what is not found; raises `rate_limited` when that was so too often."""
        self._check(self._window.test, self._not_found, user_id)
        try:
            yield
        except Problem as problem:
            if problem.spec.status == HTTPStatus.NOT_FOUND:
                self._check(self._window.hit, self._not_found, user_id)
            raise

    def check_logins(self, address: str) -> None:
        """Raise `rate_limited` where somebody at this address has failed to sign in too often.

        Where Redis is away each process counts by itself.
        """
        if not self._own.test(self._failed_logins, address):
            raise Problem("rate_limited", retry_after=60, policy="minute")
        self._check_limit(self._window.test, self._failed_logins, address)

    def count_failed_login(self, address: str) -> None:
        """Count a failed sign-in of the operator's; raises `rate_limited` as `check_logins`."""
        self._own.hit(self._failed_logins, address)
        self._check_limit(self._window.hit, self._failed_logins, address)

    def _check(self, ask: Callable[..., bool], limit: RateLimitItem, user_id: str) -> None:
        if self._limited:
            self._check_limit(ask, limit, user_id)

    def _check_limit(self, ask: Callable[..., bool], limit: RateLimitItem, whose: str) -> None:
        try:
            if ask(limit, whose):
                return
            reset_at = self._window.get_window_stats(limit, whose).reset_time
        except RedisError:
            logger.warning("requests are not counted: Redis is away")
            return
        seconds = max(1, int(reset_at - time.time()) + 1)
        raise Problem("rate_limited", retry_after=seconds, policy="minute")


def rate_limited(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Count this view's requests; below `user_required`, which says whose they are."""

    @wraps(view)
    def counted(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        _rate().count(current_user())
        return view(*args, **kwargs)

    return counted


def not_found_limited(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Count only those of this view's requests that find nothing, for each asks the database."""

    @wraps(view)
    def counted(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        with _rate().counting_not_found(current_user()):
            return view(*args, **kwargs)

    return counted


def _rate() -> RequestRate:
    return cast(RequestRate, current_app.extensions["rate"])
