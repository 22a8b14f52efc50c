"""One line an event, to standard output: what Heroku's log drains expect.

As text, each line begins `time LEVEL logger request=… session=…`, a traceback's lines too, so that
a search for an id finds all there is about it; as JSON (`LOG_FORMAT=json`), the same are fields.
"""

import hashlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

Format = Literal["text", "json"]

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, empty outside one."""
session_id: ContextVar[str] = ContextVar("session_id", default="")
"""The id of the try-on that is being worked on: it follows one through both processes."""

_QUIET = ("httpx", "httpcore", "urllib3", "hpack", "PIL", "rq.worker", "rq.job")
"""Libraries that would log a URL with a signature, or a line for every job."""
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "request", "session"}


@contextmanager
def about(session: str) -> Iterator[None]:
    """Have all that is logged meanwhile carry a try-on's id."""
    token = session_id.set(session)
    try:
        yield
    finally:
        session_id.reset(token)


class _AddIds(logging.Filter):
    """Adds the ids to each line, and counts those that are an alarm."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("ALARM"):
            from vton import metrics  # speaks TLS: see gunicorn.conf.py

            metrics.ALARMS.inc()
            metrics.ALARM_LINES.append((record.created, record.getMessage()))
        for name, value in (("request", request_id.get()), ("session", session_id.get())):
            if value and not hasattr(record, name):
                setattr(record, name, value)
        return True


class _Cleaned(logging.Formatter):
    """Cleans what exceptions say, of which nobody knows what they quote."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - it is the library's
        """Return a traceback without addresses, paths of pictures, and tokens."""
        return _NOT_IN_A_TRACEBACK.sub("<left out>", super().formatException(ei))


class _Text(_Cleaned):
    def format(self, record: logging.LogRecord) -> str:
        """Return the event, and behind it what came as `extra`, each line behind the same head."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{at.replace('+00:00', 'Z')} {record.levelname} {record.name}"
        for name in ("request", "session"):
            if value := getattr(record, name, ""):
                head += f" {name}={value}"
        event = record.getMessage()
        for name, value in vars(record).items():
            if name not in _PLAIN:
                event += f" {name}={value}"
        if record.exc_info:
            event += f"\n{self.formatException(record.exc_info)}"
        return "\n".join(f"{head} {line}" for line in event.splitlines() or [""])


class _Json(_Cleaned, JsonFormatter):
    pass


def _formatter(kind: Format) -> logging.Formatter:
    if kind == "text":
        return _Text()
    names = {"levelname": "level", "name": "logger"}
    return _Json("%(levelname)s %(name)s %(message)s", rename_fields=names, timestamp="time")


def configure(level: str, kind: Format = "text", stream: TextIO | None = None) -> None:
    """Send all logs of `level` and above to standard output, or to another stream."""
    logging.basicConfig(level=level, handlers=[handler(kind, stream)], force=True)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def handler(kind: Format, stream: TextIO | None = None) -> logging.Handler:
    """Return what writes the lines."""
    writer = logging.StreamHandler(stream or sys.stdout)
    writer.addFilter(_AddIds())
    writer.setFormatter(_formatter(kind))
    return writer


def hashed(user_id: str) -> str:
    """Return what the log has in place of a user's id (a random UUID, so it cannot be guessed)."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]


_NOT_FOR_THE_LOG = re.compile(
    r"(?P<URL>https?:\\?/\\?/\S+)"
    r"|(?P<path>(?:user-uploads|try-on-results)(?:\\?/|%2[Ff])\S+)"
    r"|(?P<token>eyJ[\w-]+\.[\w.-]+|\b(?:sb_\w+|[A-Za-z0-9+/_-]{40,}=*))"
)


_NOT_IN_A_TRACEBACK = re.compile(
    r"https?:\\?/\\?/\S+|(?:user-uploads|try-on-results)(?:\\?/|%2[Ff])\S+"
    r"|eyJ[\w-]+\.[\w.-]+|\bsb_\w+"
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
