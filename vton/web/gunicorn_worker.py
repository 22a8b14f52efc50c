"""gunicorn's gevent worker, whose own refusals come in the envelope, too.

What gunicorn cannot read never reaches the application, and no setting changes the HTML page
that it answers instead. The name of the page that asked is not known either then, so these
answers have no CORS headers.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import gevent
from gevent.server import StreamServer
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.util import write_nonblock
from gunicorn.workers import ggevent

from vton import log, metrics
from vton.errors import Problem
from vton.web.envelope import failure_body
from vton.web.headers import HEADERS
from vton.web.uploads import PAUSE_SECONDS, READ_BYTES

MAX_HEAD_BYTES = 64 * 1024
"""gunicorn looks through all that has come of a head each time that some more comes: 100 headers of
16 KB would take it half a second, in which nobody else is answered."""
MAX_UNREAD_BYTES = 64 * 1024 * 1024
UNREAD_SECONDS = 20
"""So much of a body that was refused is read and thrown away, and for so long."""

# gunicorn takes up to a megabyte at once and then, for each piece that is read of it, moves the
# rest three times: 13 ms of CPU for a photo of 3 MB.
SocketUnreader.max_body_chunk = READ_BYTES
_chunk = SocketUnreader.chunk


def _chunk_in_turn(unreader: SocketUnreader, size_hint: int | None = None) -> bytes:
    """Let others go first: what is received may be a thousand chunks of one byte."""
    time.sleep(0)
    return _chunk(unreader, size_hint)  # type: ignore[no-any-return]


SocketUnreader.chunk = _chunk_in_turn


class _Server(StreamServer):  # type: ignore[misc]  # gevent's types leave it out
    """Accepts several connections in one turn, also beside other processes.

    gunicorn would have it accept one, and a turn lasts as long as all busy connections together.
    """

    max_accept = property(lambda _: 16, lambda _, _value: None)


ggevent.StreamServer = _Server


class _ShortHead(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request whose whole head is bounded, and not only each line of it."""

    def parse(self, unreader: Any) -> Any:
        self.max_buffer_headers = MAX_HEAD_BYTES
        return super().parse(unreader)


RequestParser.mesg_class = _ShortHead

logger = logging.getLogger(__name__)


class Worker(ggevent.GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """What `worker_class` names in gunicorn.conf.py.

    A greenlet gives way only when it has to wait, and one whose client sends as fast as it is
    read never has to: the other clients would wait for its requests, one behind the other, and
    for the body of one that was refused. `time.sleep` is gevent's here, and gives way.
    """

    def load_wsgi(self) -> None:
        """Load the application; where it cannot be, end gunicorn's master, too."""
        with self.ending_the_master():
            super().load_wsgi()

    @staticmethod
    @contextmanager
    def ending_the_master() -> Iterator[None]:
        """Have gunicorn's master end, too, where the process refuses to start.

        It would start one after another, and the platform would see nothing of it.
        """
        try:
            yield
        except SystemExit as refusal:
            logger.critical("%s", refusal.code)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request of a connection after one of each other connection."""
        time.sleep(0)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:  # the client or its proxy wants the connection closed
            self._drain(req.body)
            raise
        if not self._drain(req.body):
            raise StopIteration  # closes the connection

    def _drain(self, body: Any) -> bool:
        """Read what the application left of a body, within bounds; False if there is more.

        A connection that is closed with unread bytes is reset, and the client, which still sends,
        does not see why it was refused.
        """
        left = MAX_UNREAD_BYTES
        # The answer has been sent.
        with gevent.Timeout(UNREAD_SECONDS, False), suppress(Exception):
            while left > 0:
                data = body.read(READ_BYTES)
                if not data:
                    return True
                left -= len(data)
                time.sleep(PAUSE_SECONDS)
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that gunicorn cannot read, or that broke outside the application."""
        request_id = uuid4().hex
        log.request_id.set(request_id)
        log.session_id.set("")
        problem = _problem(exc)
        if problem.code == "internal":
            logger.error("a request broke outside the application", exc_info=exc)
        else:
            self._note_malformed(exc, problem)
        try:
            write_nonblock(client, _answer(problem, request_id))
        except OSError:
            logger.debug("the client has gone")

    @staticmethod
    def _note_malformed(error: BaseException, problem: Problem) -> None:
        status = problem.spec.status
        metrics.REQUESTS.labels("unknown", "unmatched", str(status), problem.code).inc()
        may, left_out = _malformed.may_say()
        if may:
            more = f", and {left_out} more before" if left_out else ""
            extra = {"status": status, "code": problem.code}
            logger.warning("not understood: %s%s", type(error).__name__, more, extra=extra)


_malformed = log.Seldom(5)
"""Whoever sends what cannot be read can send it thousands of times a second."""


def _problem(error: BaseException) -> Problem:
    if isinstance(error, LimitRequestLine):
        return Problem("url_too_long")
    if isinstance(error, LimitRequestHeaders):
        return Problem("headers_too_large")
    return Problem("bad_request" if isinstance(error, ParseException) else "internal")


def _answer(problem: Problem, request_id: str) -> bytes:
    body = json.dumps(failure_body(problem, request_id)).encode()
    headers = {
        **HEADERS,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "private, no-store",
        "Connection": "close",
        "X-Request-ID": request_id,
    }
    status = HTTPStatus(problem.spec.status)
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
