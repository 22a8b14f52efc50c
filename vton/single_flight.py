"""One call for all who ask for the same thing at the same time."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from vton.errors import Unavailable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Whoever asks while a call for the same key is under way gets what that one gets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[T]] = {}

    def do(self, key: Hashable, call: Callable[[], T]) -> T:
        """Return what the call returns, made by this thread or another. Raises what it raises."""
        with self._lock:
            theirs = self._flights.get(key)
            if theirs is None:
                mine = self._flights[key] = Future[T]()
        if theirs is not None:
            return theirs.result()
        try:
            value = call()
        except BaseException as error:
            # Who waits is not ended because this thread is.
            mine.set_exception(error if isinstance(error, Exception) else Unavailable())
            raise
        else:
            mine.set_result(value)
            return value
        finally:
            with self._lock:
                del self._flights[key]
