"""Who may have a picture decoded, and who goes first: nobody is to keep all others waiting."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vton.deadline import seconds_left
from vton.errors import Problem, Unavailable

REFUSED_SECONDS = 60
"""How long no photo that may be long is taken of somebody whose last one had to be ended."""
OWN_SECONDS = 6
"""How long a user's photo waits for another one of theirs to be decoded."""
BUDGET_SECONDS = 6.0
"""Of decoding within a minute: who has used it up may have nothing decoded. A slow HEIC of 40
megapixels takes 1.3 s."""
PLACES = 6
"""For pictures that are decoded or wait for it, each with its bytes in memory."""
WINDOW_SECONDS = 60.0


@dataclass(eq=False)
class Place:
    """A picture that is decoded, or waits for it.

    `used_lately` is for how long its owner has had others decoded within a minute, `used_seconds`
    for how long this one was.
    """

    owner: str | None
    used_lately: float
    used_seconds: float = 0.0
    begun: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Places:
    """The pictures of one process that are decoded or wait. Safe to share between threads."""

    own_seconds: float = OWN_SECONDS
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _taken: list[Place] = field(default_factory=list)
    _waiting: set[str] = field(default_factory=set)
    """Owners of whom another picture waits for the first."""
    _used: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _refused_until: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def taken(self, owner: str | None, now: Callable[[], float]) -> Iterator[Place]:
        """Hold a place for a picture of this user's; one of nobody's, with None, has used nothing.

        Raises Problem `rate_limited` and Unavailable as `Sandbox.convert` does.
        """
        with self._changed:
            place = self._take(owner, now)
        try:
            yield place
        finally:
            with self._changed:
                if not place.lost:
                    self._taken.remove(place)
                if owner and place.used_seconds:
                    self._used.setdefault(owner, []).append((now(), place.used_seconds))
                self._changed.notify_all()

    @contextmanager
    def counted(self, owner: str | None, now: Callable[[], float]) -> Iterator[None]:
        """Count a picture that is decoded at once, without a place. Raises `rate_limited`."""
        with self._changed:
            self._refuse_over_budget(owner, now)
        began = now()
        try:
            yield
        finally:
            if owner:
                with self._changed:
                    self._used.setdefault(owner, []).append((now(), now() - began))

    def may_begin(self, place: Place) -> bool:
        """Whether nobody waits whose owner has used less. Raises Unavailable if it was lost."""
        with self._changed:
            if place.lost:
                raise Unavailable("too many pictures wait to be decoded")
            waiting = (other for other in self._taken if not other.begun)
            return all(place.used_lately <= other.used_lately for other in waiting)

    def refuse_for_a_while(self, owner: str | None, now: float) -> None:
        """Else a few accounts with such photos could keep all others' waiting, one by one."""
        if owner:
            self._refused_until[owner] = now + REFUSED_SECONDS

    def _take(self, owner: str | None, now: Callable[[], float]) -> Place:
        self._wait_for_own(owner)
        seconds = self._refuse_over_budget(owner, now)
        if len(self._taken) >= PLACES:
            self._make_room(seconds)
        place = Place(owner, seconds)
        self._taken.append(place)
        return place

    def _refuse_over_budget(self, owner: str | None, now: Callable[[], float]) -> float:
        """Return for how many seconds an owner has had pictures decoded within a minute."""
        self._forget(now())
        left = self._refused_until.get(owner or "", 0.0) - now()
        used = self._used.get(owner or "", [])
        seconds = sum(seconds for _, seconds in used)
        still = seconds
        for at, lapsing in used:
            if still >= BUDGET_SECONDS:
                left = max(left, at + WINDOW_SECONDS - now())
            still -= lapsing
        if left > 0:
            raise Problem("rate_limited", retry_after=max(1, math.ceil(left)))
        return seconds

    def _make_room(self, used_lately: float) -> None:
        """Have one lose its place that waits and whose owner has used more. Raises Unavailable."""
        waiting = [place for place in self._taken if not place.begun]
        last = max(waiting, key=lambda place: place.used_lately, default=None)
        if last is None or last.used_lately <= used_lately:
            raise Unavailable("too many pictures wait to be decoded")
        last.lost = True
        self._taken.remove(last)

    def _wait_for_own(self, owner: str | None) -> None:
        """Wait a little while another picture of the owner's is decoded; one waits, and no more."""
        if not self._has_one(owner):
            return
        if owner in self._waiting:
            raise Problem("rate_limited", retry_after=1)
        left = seconds_left()
        patience = self.own_seconds if left is None else min(self.own_seconds, max(0.0, left))
        self._waiting.add(str(owner))
        try:
            if not self._changed.wait_for(lambda: not self._has_one(owner), patience):
                raise Problem("rate_limited", retry_after=1)
        finally:
            self._waiting.discard(str(owner))

    def _has_one(self, owner: str | None) -> bool:
        return owner is not None and any(place.owner == owner for place in self._taken)

    def _forget(self, now: float) -> None:
        """Drop what is older than the window, of everybody."""
        for owner, used in list(self._used.items()):
            self._used[owner] = [one for one in used if one[0] > now - WINDOW_SECONDS]
            if not self._used[owner]:
                del self._used[owner]
        for owner, until in list(self._refused_until.items()):
            if until <= now:
                del self._refused_until[owner]
