"""How an honest answer is spoilt by a rule: one small function for each kind."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

from flask import Response, request

from devstack.pixazo import replies
from devstack.pixazo.settings import FATES, Rule

Spoiler = Callable[[Rule, Response], Response]


def spoil(rule: Rule, honest: Response) -> Response:
    """The answer that the client gets in place of `honest`."""
    reply = SPOILERS[rule.kind](rule, honest)
    reply.headers.update(rule.headers)
    return reply


def http(rule: Rule, _honest: Response) -> Response:
    """Another status, with the rule's body or the vendor's usual one."""
    if isinstance(rule.body, str):
        kind = "text/html" if rule.body.lstrip().startswith("<") else "text/plain"
        return Response(rule.body, rule.status, mimetype=kind)
    body = replies.error(rule.status) if rule.body is None else rule.body
    return Response(json.dumps(body), rule.status, mimetype="application/json")


def cut(rule: Rule, honest: Response) -> Response:
    """Close the connection: without an answer, or in the middle of a picture."""
    connection = request.environ["gunicorn.socket"]
    if rule.at != "result":
        _close(connection)
        return Response()
    return _streamed(honest, _half_then_close(honest.get_data(), connection))


def slow(rule: Rule, honest: Response) -> Response:
    """The honest answer, late."""
    time.sleep(rule.seconds)
    return honest


def drip(rule: Rule, honest: Response) -> Response:
    """The honest answer a byte at a time."""
    return _streamed(honest, _one_by_one(honest.get_data(), rule.seconds))


def word(rule: Rule, honest: Response) -> Response:
    """The honest status object with another status word."""
    body = honest.get_json()
    target, name = (body["data"], "task_status") if "data" in body else (body, "status")
    target[name] = rule.word
    honest.set_data(json.dumps(body))
    return honest


def not_image(_rule: Rule, honest: Response) -> Response:
    """HTTP 200, the picture's type, and no picture."""
    return Response("<html><title>Not a picture</title></html>", mimetype=honest.mimetype)


def truncated(_rule: Rule, honest: Response) -> Response:
    """A complete answer with the first half of the picture."""
    content = honest.get_data()
    return Response(content[: len(content) // 2], mimetype=honest.mimetype)


def huge(rule: Rule, honest: Response) -> Response:
    """`size` bytes that begin like a picture, without a Content-Length."""
    return Response(_padded(honest.get_data()[:1024], rule.size), mimetype=honest.mimetype)


def redirect(rule: Rule, _honest: Response) -> Response:
    """Send the client elsewhere, or round in a circle."""
    status = rule.status if 300 <= rule.status < 400 else 302
    return Response(status=status, headers={"Location": rule.to or request.url})


def fate(_rule: Rule, honest: Response) -> Response:
    """The submit itself is answered honestly: the task bears the consequences."""
    return honest


SPOILERS: dict[str, Spoiler] = {
    "http": http,
    "cut": cut,
    "slow": slow,
    "drip": drip,
    "not_image": not_image,
    "truncated": truncated,
    "huge": huge,
    "redirect": redirect,
    **dict.fromkeys(FATES, fate),
}


def spoil_status(rule: Rule, honest: Response) -> Response:
    """As `spoil`, for a poll, where `word` changes this one answer and not the task."""
    return word(rule, honest) if rule.kind == "word" else spoil(rule, honest)


def _streamed(honest: Response, chunks: Iterator[bytes]) -> Response:
    """The honest answer's head, Content-Length included, over other chunks."""
    reply = Response(chunks, honest.status_code, mimetype=honest.mimetype)
    reply.content_length = len(honest.get_data())
    return reply


def _half_then_close(content: bytes, connection: socket.socket) -> Iterator[bytes]:
    yield content[: len(content) // 2]
    _close(connection)


def _one_by_one(content: bytes, pause: float) -> Iterator[bytes]:
    for n in range(len(content)):
        yield content[n : n + 1]
        time.sleep(pause)


def _padded(start: bytes, size: int) -> Iterator[bytes]:
    yield start
    block = bytes(65_536)
    for sent in range(len(start), size, len(block)):
        yield block[: size - sent]


def _close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
