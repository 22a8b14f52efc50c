"""How many pictures a machine decodes at once, all of its processes together.

A small dyno has 512 MB for two web processes: each decoder that one of them starts takes memory
from the other, too. So a decoder holds a lock on one of a few files, which lapses with the process.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vton.errors import Unavailable

MEGABYTE = 1024 * 1024
DECODER_BYTES = 300 * MEGABYTE
"""What the worst ordinary photo fills: a HEIC of 40 megapixels 298 MB, a WebP of 16 268 MB."""
PROCESS_BYTES = 100 * MEGABYTE
"""What a web process fills, and the photos that wait in it."""
SYSTEM_BYTES = 60 * MEGABYTE
MOST = 2
"""More only take memory: a small dyno shows all its host's cores."""
RETRY_SECONDS = 0.05


def count_slots(memory: int, processes: int) -> int:
    """Return how many decoders fit beside so many web processes into `memory` bytes."""
    left = memory - SYSTEM_BYTES - processes * PROCESS_BYTES
    return max(1, min(MOST, left // DECODER_BYTES))


def memory_there_is() -> int:
    """Return the bytes that this process and its siblings may fill: the cgroup's, or all there are.

    As https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html have it; other
    systems have no cgroups.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _limit_files():
        with suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(path.read_text()))
    return min(limits)


def _limit_files() -> Iterator[Path]:
    """The files that may say it: of this process's own cgroup, and of a container's root."""
    root = Path("/sys/fs/cgroup")
    yield root / "memory.max"
    yield root / "memory" / "memory.limit_in_bytes"
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield root / path.lstrip("/") / "memory.max"
            elif "memory" in controllers.split(","):
                yield root / "memory" / path.lstrip("/") / "memory.limit_in_bytes"


def shared_folder() -> Path:
    """Return the folder of the locks: one for each user of this machine."""
    folder = Path(tempfile.gettempdir()) / f"vton-decoders-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@dataclass(frozen=True)
class DecoderSlots:
    """The locks, `count` files in a folder that all processes share."""

    folder: Path
    count: int

    @contextmanager
    def taken(self, seconds: float, may: Callable[[], bool] = lambda: True) -> Iterator[int]:
        """Wait for a slot and hold it; gives the descriptor of its lock, for a child to hold, too.

        None is taken while `may` says that others go first. Raises Unavailable when none comes
        free within `seconds`, and what `may` raises.
        """
        ends_at = time.monotonic() + seconds
        while (lock := self._try() if may() else None) is None:
            if time.monotonic() > ends_at:
                raise Unavailable
            time.sleep(RETRY_SECONDS)
        with lock:
            yield lock.fileno()

    def _try(self) -> IO[str] | None:
        for number in range(self.count):
            lock = (self.folder / f"slot-{number}").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
            else:
                return lock
        return None
