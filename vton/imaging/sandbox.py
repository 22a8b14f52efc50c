"""A process of its own for each picture that may take long to decode.

A picture is somebody else's bytes, and some kilobytes can keep a decoder busy for hours. So it is
decoded by `python -m vton.imaging`, which may use so much time and memory, has no secrets in its
environment, and leaves this process free to answer meanwhile. That costs 70 ms of CPU.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vton import metrics
from vton.deadline import seconds_left
from vton.errors import Problem, Unavailable
from vton.imaging.places import Place, Places
from vton.imaging.slots import DecoderSlots

logger = logging.getLogger(__name__)

CPU_SECONDS = 5
"""Twice and more what the slowest 40-megapixel photo takes (1.3 s, measured)."""
MEMORY_BYTES = 1024**3
FILLED_BYTES = 450 * 1024**2
"""Address space of a process that decodes, and what it may fill of that (`RLIMIT_DATA`); the worst
photo fills 340 MB (progressive CMYK)."""
WALL_SECONDS = 10.0
"""For waiting until it may begin, and for decoding; Heroku ends a request after 30."""
LONG_SECONDS = 3.0
REFUSED = 3
"""Exit status of a process that writes a Problem's code instead of a picture."""


def _new_slots() -> threading.BoundedSemaphore:
    """For pictures that are decoded in this process: more at once only take memory."""
    return threading.BoundedSemaphore(min(2, os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Who is decoding for this process, and who has to wait. Safe to share between threads."""

    decoders: DecoderSlots
    now: Callable[[], float] = time.monotonic
    _slots: threading.BoundedSemaphore = field(default_factory=_new_slots)
    _places: Places = field(default_factory=Places)

    @contextmanager
    def counted(self, owner: str | None) -> Iterator[None]:
        """Count what is decoded in this process for its owner, as `convert` does.

        Raises Problem `rate_limited`.
        """
        with self._places.counted(owner, self.now), metrics.DECODE_SECONDS.labels("here").time():
            yield

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until one more picture may be decoded in this process."""
        with self._slots, metrics.DECODE_SECONDS.labels("here").time():
            yield

    def convert(self, conversion: str, data: bytes, owner: str | None = None) -> bytes:
        """Have a picture converted, by one of `convert.CONVERSIONS`, within time and memory.

        Raises Problem where the conversion does, Unavailable when too many others wait, and
        `rate_limited` when the `owner` (a user's id) has used up their time, or had a picture
        that had to be ended a while ago: else one user could keep everybody waiting.
        """
        with self._places.taken(owner, self.now) as place:
            child = self._run(conversion, data, place)
        if child.returncode == REFUSED:
            if place.used_seconds > LONG_SECONDS:  # which no honest photo takes, to be refused
                self._places.refuse_for_a_while(owner, self.now())
            raise Problem(child.stdout.decode())
        if child.returncode < 0 and child.returncode != -signal.SIGXCPU:
            logger.error("a decoder was killed by signal %d: is there memory?", -child.returncode)
            raise Unavailable
        if child.returncode != 0:  # its time was over, or it crashed
            self._places.refuse_for_a_while(owner, self.now())
            raise Problem("photo_unreadable")
        return child.stdout

    def _run(
        self, conversion: str, data: bytes, place: Place
    ) -> subprocess.CompletedProcess[bytes]:
        may_begin = partial(self._places.may_begin, place)
        with self.decoders.taken(_patience(), may_begin) as lock:
            place.begun, began = True, self.now()
            try:
                return subprocess.run(  # noqa: S603  # `conversion` is ours
                    [sys.executable, "-m", "vton.imaging", conversion],
                    input=data,
                    capture_output=True,
                    timeout=(patience := _patience()),
                    env=_environ(),
                    pass_fds=(lock,),  # should this process die, the child still holds it
                    check=False,
                )
            except (
                subprocess.TimeoutExpired
            ):  # the machine is too busy: CPU_SECONDS are not used up
                if patience == WALL_SECONDS:
                    self._places.refuse_for_a_while(place.owner, self.now())
                raise Unavailable from None
            finally:
                place.used_seconds = self.now() - began
                metrics.DECODE_SECONDS.labels("decoder").observe(place.used_seconds)


def _patience() -> float:
    """For how many seconds to wait, within what is left of the request. Raises Unavailable."""
    left = seconds_left()
    if left is None:
        return WALL_SECONDS
    if left <= 0:
        raise Unavailable("there is no time left")
    return min(WALL_SECONDS, left)


def _environ() -> dict[str, str]:
    """What Python needs to start; our keys are no business of a decoder."""
    kept = {k: v for k in ("LD_LIBRARY_PATH", "PYTHONHOME") if (v := os.environ.get(k))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}
