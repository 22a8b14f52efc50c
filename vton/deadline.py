"""How long what is being done for a request may still take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

REQUEST_SECONDS = 20.0
"""What a view may take, once the request has been read: with what is undone then it stays below the
30 s after which Heroku's router answers in its place."""

P = ParamSpec("P")
T = TypeVar("T")

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have everything in the block done within so many seconds, whatever was said before."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left() -> float | None:
    """Return how many seconds there are, less than none where time is over; None for any number."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def in_time(view: Callable[P, T]) -> Callable[P, T]:
    """Bound a view; the innermost decorator, since a slow upload has a bound of its own."""

    @wraps(view)
    def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        with within(REQUEST_SECONDS):
            return view(*args, **kwargs)

    return bounded
