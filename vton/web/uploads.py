"""Request bodies are bounded: in size before and while they are read, and in time.

Every body has a deadline, which only bytes that come can move.

A body has 20 s, and a second more for every 16 KB of it that came, but never more than 20 s from
now: what came fast is no reason to wait for the rest. A phone on a bad line sends several times
that; what trickles holds a connection, and a file that grows, for nothing.

A read blocks until it has what it was asked for, however slowly that comes. So a timer shuts
the receiving side of the socket, which ends the read, with gunicorn's threads and greenlets
alike; the sending side stays, and carries the answer.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import IO, Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from vton.deadline import seconds_left
from vton.errors import REASONS, Problem, Reason, Unavailable
from vton.web.envelope import failure

FORM_BYTES = 64 * 1024
"""What a form may need beside its file, and all that other bodies may have."""
MAX_PARTS = 10
TIMEOUT_SECONDS = 20.0
BYTES_PER_SECOND = 16 * 1024
BUSY_SECONDS = 0.01
PAUSE_SECONDS = 0.001
"""After so long of reading without having to wait, others get a turn of so long: under gevent a
client that sends faster than it is read would have the process for itself."""
READ_BYTES = 64 * 1024
"""No more is asked for at once, so that what has come is known."""

MOST_PHOTOS = 10
MOST_OF_ONE = 3
"""So many photos, of 10 MB at most, a process and a user have in memory at once, and"""
TURN_SECONDS = 5.0
"""so long others wait for their turn."""


def init_app(app: Flask, max_file_bytes: int) -> None:
    """Bound every body; only a multipart form may have a file of so many bytes in it."""
    app.config.update(
        MAX_CONTENT_LENGTH=max_file_bytes + FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=2 * FORM_BYTES,  # Werkzeug's own buffer is counted
        MAX_FORM_PARTS=MAX_PARTS,
    )
    app.extensions["photos"] = PhotosInMemory()
    app.before_request(_bound_other_bodies)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.wsgi_app = UploadDeadlines(app.wsgi_app)  # type: ignore[method-assign]


def _bound_other_bodies() -> None:
    if request.mimetype != "multipart/form-data":
        request.max_content_length = FORM_BYTES


def _too_large(_error: RequestEntityTooLarge) -> Response:
    """Werkzeug says the same of a large file, of many parts and of a long field."""
    size = max(request.content_length or 0, request.environ["wsgi.input"].size)
    file_bytes = current_app.config["MAX_CONTENT_LENGTH"] - FORM_BYTES
    photo = request.mimetype == "multipart/form-data" and size > file_bytes
    return failure(Problem("photo_too_large" if photo else "form_too_large"))


def wrong_file(field: str) -> Reason | None:
    """Return what is wrong with the one file that a form is to have, None if nothing is."""
    detail = _wrong_form(field)
    if detail is None:
        return None
    several = len(request.files) > 1 or len(request.files.getlist(field)) > 1
    return Reason(REASONS["photo_several" if several else "photo_missing"], detail)


def _wrong_form(field: str) -> str | None:
    form = f"multipart/form-data with the file field {field}"
    if request.mimetype != "multipart/form-data":
        return f"Required: send {form}, not {request.mimetype or 'a body without a Content-Type'}."
    if "boundary" not in request.mimetype_params:
        return (
            f"Required: send {form}. The Content-Type lacks its boundary: leave it to the client."
        )
    files = request.files.getlist(field)
    if field in request.form and not files:
        return f"Not a file: send {form}, as a part with a file name (a File or Blob), not as text."
    if len(files) != 1 or len(request.files) != 1:
        return "Only one file." if files else f"Required: send {form}."
    return None


class UploadDeadlines:
    """WSGI middleware: a request whose body comes too slowly fails with `upload_too_slow`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Call the application with a body that is watched while it is read."""
        body = _Body(environ["wsgi.input"], environ.get("gunicorn.socket"))
        environ["wsgi.input"] = body
        try:
            answer: Iterable[bytes] = self._app(environ, start_response)
        finally:
            body.release()
        return answer


class _Body:
    """What is left of `wsgi.input`: the one method that Werkzeug calls.

    `size` is how many bytes were read.
    """

    def __init__(self, stream: IO[bytes], connection: socket.socket | None) -> None:
        self._stream, self._connection = stream, connection
        self.size = 0
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        self._timer: Timer | None = None
        self._released = False
        self._turn_ends = time.monotonic() + BUSY_SECONDS

    def read(self, size: int) -> bytes:
        """At most `size` bytes; Problem when they are late, or no body."""
        if self._timer is None and self._connection is not None:
            self._watch()
        if time.monotonic() > self._turn_ends:
            time.sleep(PAUSE_SECONDS)
            self._turn_ends = time.monotonic() + BUSY_SECONDS
        try:
            data = self._stream.read(min(size, READ_BYTES))
        except Exception:  # whatever the server raises for chunks that are none, and lost clients
            self._check()
            raise Problem("bad_request") from None
        self._check()
        self.size += len(data)
        earned = self._deadline + len(data) / BYTES_PER_SECOND
        self._deadline = min(earned, time.monotonic() + TIMEOUT_SECONDS)
        return data

    def release(self) -> None:
        """The request has been answered; what it did not read is no longer waited for here."""
        self._released = True
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        left = self._deadline - time.monotonic()
        self._timer = Timer(max(left, 0.01), self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        """Give the body the time that it has earned meanwhile, or end it."""
        if self._released or self._connection is None:
            return
        if time.monotonic() < self._deadline:
            self._watch()
            return
        with suppress(OSError):  # the client has gone
            self._connection.shutdown(socket.SHUT_RD)

    def _check(self) -> None:
        if time.monotonic() >= self._deadline:
            raise Problem("upload_too_slow")


class PhotosInMemory:
    """How many photos requests hold in memory at once. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = Counter[str]()

    @contextmanager
    def one_of(self, user_id: str) -> Iterator[None]:
        """Wait until one more photo of this user's may be read. Raises Unavailable."""
        left = seconds_left()
        patience = TURN_SECONDS if left is None else max(0.0, min(TURN_SECONDS, left))
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(user_id), patience):
                raise Unavailable("too many photos are being taken")
            self._held[user_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held -= Counter([user_id])
                self._changed.notify_all()

    def _has_room(self, user_id: str) -> bool:
        return self._held.total() < MOST_PHOTOS and self._held[user_id] < MOST_OF_ONE
