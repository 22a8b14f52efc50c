"""One line an event, `key=value`, to standard output: what Heroku's log drains expect."""

import logging
import re
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request, or of the try-on session, that this thread works on."""


class _AddRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure(level: str) -> None:
    """Send all logs of `level` and above to standard output.

    Libraries that would log a URL with a signature or a line for every job are held at
    WARNING.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_AddRequestId())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s id=%(request_id)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in (
        "httpx",
        "httpcore",
        "urllib3",
        "hpack",
        "PIL",
        "rq.worker",
        "rq.job",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


_NOT_FOR_THE_LOG = re.compile(
    r"(?P<URL>https?:\\?/\\?/\S+)"
    r"|(?P<path>(?:user-uploads|try-on-results)\\?/\S+)"
    r"|(?P<token>eyJ[\w-]+\.[\w.-]+|\b(?:sb_\w+|[A-Za-z0-9+/_-]{40,}=*))"
)


def cleaned(text: object, length: int = 200) -> str:
    """Return what others said, as the log may have it: in one line, short, and without secrets.

    They quote what they were sent: signed URLs, the paths of users' pictures, tokens and keys.
    """
    said = _NOT_FOR_THE_LOG.sub(lambda found: f"<{found.lastgroup}>", str(text)[:2000])
    return "".join(c if c.isprintable() else " " for c in said)[:length]


class Seldom:
    """Lets through so many lines a second, and says how many it has left out."""

    def __init__(self, per_second: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._now = now
        self._second = -1
        self._count = 0

    def may_say(self) -> tuple[bool, int]:
        """Whether one more may be said, and how many were not since the last one that was."""
        second = int(self._now())
        if second != self._second and self._count > self._per_second:
            left_out, self._count = self._count - self._per_second, 1
            self._second = second
            return True, left_out
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= self._per_second, 0
