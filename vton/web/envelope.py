"""The one shape of every answer, and the handlers that give it to every failure there is."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast
from uuid import uuid4

import orjson
from flask import Flask, Response, g, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from vton import log
from vton.errors import Problem

logger = logging.getLogger(__name__)

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "photo_unsupported",
}


def success(
    data: object,
    status: int = HTTPStatus.OK,
    *,
    meta: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`{"success": true, "data": …}`, with `meta` beside it where there is some."""
    body = {"success": True, "data": data} | ({} if meta is None else {"meta": meta})
    return _answer(body, status, headers or {})


def failure(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """`{"success": false, "message", "code", "hint", "retryable", "request_id"[, "errors"]}`."""
    kind = problem.kind
    extra = dict(headers or {})
    if problem.retry_after is not None:
        extra["Retry-After"] = str(problem.retry_after)
        if problem.policy is not None:  # draft-ietf-httpapi-ratelimit-headers, section 4
            extra["RateLimit"] = f'"{problem.policy}";r=0;t={problem.retry_after}'
    if kind.status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = _challenge(problem.code)
    return _answer(problem.envelope(g.get("request_id")), kind.status, extra)


def init_app(app: Flask) -> None:
    """Give every request an id, and every failure the envelope."""
    app.before_request(_start)
    app.after_request(_finish)
    app.register_error_handler(Problem, failure)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _answer(body: Mapping[str, object], status: int, headers: Mapping[str, str]) -> Response:
    response = Response(orjson.dumps(body), status, mimetype="application/json")
    response.headers.setdefault("Cache-Control", "private, no-store")
    response.headers.update(headers)
    return response


def _challenge(code: str) -> str:
    """The `WWW-Authenticate` of RFC 6750, section 3: no error where no token was sent."""
    return "Bearer" if code == "token_missing" else 'Bearer error="invalid_token"'


def usable_request_id(sent: str) -> str:
    """The request's id as it was sent, or one of our own where that is none."""
    usable = 0 < len(sent) <= 64 and sent.isascii() and sent.replace("-", "").isalnum()
    return sent if usable else uuid4().hex


def _start() -> None:
    g.request_id = usable_request_id(request.headers.get("X-Request-ID", ""))
    log.request_id.set(g.request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id") or uuid4().hex
    return response


def _invalid(error: ValidationError) -> Response:
    messages = cast(Mapping[str, list[str]], error.normalized_messages())  # type: ignore[no-untyped-call]
    return failure(Problem("invalid_fields", errors=messages))


def _http(error: HTTPException) -> Response:
    """Werkzeug's and Flask's own errors; flask-smorest's carry the wrong fields in `data`."""
    status = error.code or 500
    fields = getattr(error, "data", {}).get("messages")
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and fields:
        return failure(Problem("invalid_fields", errors=_flat(fields)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return failure(Problem(_CODES.get(status, "bad_request")), headers)


def _unexpected(error: Exception) -> Response:
    logger.exception("unhandled %s", type(error).__name__)
    return failure(Problem("internal"))


def _flat(messages: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """webargs nests the fields under where they came from (`query`, `form`)."""
    return {field: list(why) for fields in messages.values() for field, why in fields.items()}
