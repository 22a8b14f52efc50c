"""A process of its own for each picture that may take long to decode.

A picture is somebody else's bytes, and some kilobytes can keep a decoder busy for hours. So it is
decoded by `python -m vton.imaging`, which may use so much time and memory, has no secrets in its
environment, and leaves this process free to answer meanwhile. That costs 70 ms of CPU.
"""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vton.errors import Problem, Unavailable
from vton.imaging.slots import DecoderSlots

logger = logging.getLogger(__name__)

CPU_SECONDS = 5
"""Twice and more what the slowest 40-megapixel photo takes (1.3 s, measured)."""
MEMORY_BYTES = 1024**3
"""Address space of a process that decodes; the worst photo fills 340 MB (progressive CMYK)."""
WALL_SECONDS = 10
"""For waiting until it may begin, and for decoding; Heroku ends a request after 30."""
REFUSED_SECONDS = 60
"""How long no photo that may be long is taken of somebody whose last one had to be ended."""
REFUSED = 3
"""Exit status of a process that writes a Problem's code instead of a picture."""


def _new_slots() -> threading.BoundedSemaphore:
    """For pictures that are decoded in this process: more at once only take memory."""
    return threading.BoundedSemaphore(min(2, os.cpu_count() or 1))


def _new_places() -> threading.BoundedSemaphore:
    """For those that are decoded and those that wait for it, each with its bytes in memory."""
    return threading.BoundedSemaphore(6)


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Who is decoding for this process, and who has to wait. Safe to share between threads."""

    decoders: DecoderSlots
    now: Callable[[], float] = time.monotonic
    _slots: threading.BoundedSemaphore = field(default_factory=_new_slots)
    _places: threading.BoundedSemaphore = field(default_factory=_new_places)
    _owners: set[str] = field(default_factory=set)
    _refused_until: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until one more picture may be decoded in this process."""
        with self._slots:
            yield

    def convert(self, conversion: str, data: bytes, owner: str | None = None) -> bytes:
        """Have a picture converted, by one of `convert.CONVERSIONS`, within time and memory.

        Raises Problem where the conversion does, Unavailable when too many others wait, and
        `rate_limited` while a picture of the same `owner` (a user's id) is being decoded, or a
        while after one of theirs had to be ended: else one user could keep everybody waiting.
        """
        with self._place_for(owner):
            child = self._run(conversion, data, owner)
        if child.returncode == REFUSED:
            raise Problem(child.stdout.decode())
        if child.returncode < 0 and child.returncode != -signal.SIGXCPU:
            logger.error("a decoder was killed by signal %d: is there memory?", -child.returncode)
            raise Unavailable
        if child.returncode != 0:  # its time was over, or it crashed
            self._refuse_for_a_while(owner)
            raise Problem("photo_unreadable")
        return child.stdout

    @contextmanager
    def _place_for(self, owner: str | None) -> Iterator[None]:
        left = self._refused_until.get(owner, 0.0) - self.now() if owner else 0.0
        if owner in self._owners or left > 0:
            raise Problem("rate_limited", retry_after=max(1, math.ceil(left)))
        if not self._places.acquire(blocking=False):
            raise Unavailable
        if owner:
            self._owners.add(owner)
        try:
            yield
        finally:
            self._places.release()
            self._owners.discard(owner or "")

    def _run(
        self, conversion: str, data: bytes, owner: str | None
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            with self.decoders.taken(WALL_SECONDS) as lock:
                return subprocess.run(  # noqa: S603  # `conversion` is ours
                    [sys.executable, "-m", "vton.imaging", conversion],
                    input=data,
                    capture_output=True,
                    timeout=WALL_SECONDS,
                    env=_environ(),
                    pass_fds=(lock,),  # should this process die, the child still holds it
                    check=False,
                )
        except subprocess.TimeoutExpired:  # the machine is too busy: CPU_SECONDS are not used up
            self._refuse_for_a_while(owner)
            raise Unavailable from None

    def _refuse_for_a_while(self, owner: str | None) -> None:
        """Else a few accounts with such photos could keep all others' waiting, one by one."""
        now = self.now()
        for other in [other for other, until in list(self._refused_until.items()) if until < now]:
            self._refused_until.pop(other, None)
        if owner:
            self._refused_until[owner] = now + REFUSED_SECONDS


def _environ() -> dict[str, str]:
    """What Python needs to start; our keys are no business of a decoder."""
    kept = {k: v for k in ("LD_LIBRARY_PATH", "PYTHONHOME") if (v := os.environ.get(k))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}
