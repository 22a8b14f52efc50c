"""The one shape of every answer, and the handlers that give it to every failure there is."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast
from uuid import uuid4

import orjson
from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from vton import log
from vton.errors import Problem, Reason
from vton.words import ENGLISH, language_of, translated

logger = logging.getLogger(__name__)

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "photo_unsupported",
}


Answer = Mapping[str, object]
"""What a view returns; the schema in its `response` decorator dumps what is in it."""


def answer(data: object) -> Answer:
    """Return `{"success": true, "data": …}`."""
    return {"success": True, "data": data}


def answer_page(items: Sequence[object], next_cursor: str | None) -> Answer:
    """Return an answer with a list, and the next page's cursor in `meta` beside it."""
    return {**answer(items), "meta": {"next_cursor": next_cursor}}


def success(data: object, *, headers: Mapping[str, str]) -> Response:
    """Return an answer whose data needs no schema any more, as a response."""
    return _response(answer(data), HTTPStatus.OK, headers)


def language() -> str:
    """Return the language that the request is answered in."""
    return language_of(request.headers.get("Accept-Language", ""))


def failure(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells of a failure: see `failure_body`."""
    spec = problem.spec
    g.error_code = problem.code
    extra = dict(headers or {})
    if problem.retry_after is not None:
        extra["Retry-After"] = str(problem.retry_after)
        if problem.policy is not None:  # draft-ietf-httpapi-ratelimit-headers, section 4
            extra["RateLimit"] = f'"{problem.policy}";r=0;t={problem.retry_after}'
    if spec.status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = _challenge(problem.code)
    body = failure_body(problem, g.get("request_id"), language())
    response = _response(body, spec.status, extra)
    response.vary.add("Accept-Language")
    return response


def failure_body(problem: Problem, request_id: str | None, language: str = ENGLISH) -> Answer:
    """Return `message` and `hint` for people, in their language, and the rest for programs.

    Where fields are wrong the reasons are the message, if they are in words for people.
    """
    spec = problem.spec
    errors = problem.errors or {}
    reasons = {field: [_as_reason(why) for why in errors[field]] for field in errors}
    plain = any(isinstance(why, str) for field in errors for why in errors[field])
    words = {field: [translated(why.text, language) for why in reasons[field]] for field in reasons}
    details = [
        f"{field}: {why.detail}" for field in reasons for why in reasons[field] if why.detail
    ]
    message = translated(problem.message, language)
    if words and problem.code == "invalid_fields" and not plain:
        message = " ".join(dict.fromkeys(why for all_ in words.values() for why in all_))
    body: dict[str, object] = {
        "success": False,
        "message": message,
        "code": problem.code,
        "hint": translated(spec.hint, language),
        "retryable": spec.retryable,
        "request_id": request_id,
    }
    if detail := " ".join(details) or spec.detail:
        body["detail"] = detail
    if words:
        body["errors"] = words
    return body


def _as_reason(why: str | Reason) -> Reason:
    return why if isinstance(why, Reason) else Reason(why, why)


def init_app(app: Flask) -> None:
    """Give every request an id, and every failure the envelope."""
    app.json = OrjsonProvider(app)
    app.before_request(_start)
    app.after_request(_finish)
    app.register_error_handler(Problem, failure)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


class OrjsonProvider(JSONProvider):
    """Writes what views return, in a fraction of the time that Flask's own takes."""

    def dumps(self, obj: object, **_: object) -> str:
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()

    def loads(self, s: str | bytes, **_: object) -> object:
        return orjson.loads(s)


def _response(body: Answer, status: int, headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), status, headers, mimetype="application/json")


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
    if response.mimetype == "application/json":
        response.headers.setdefault("Cache-Control", "private, no-store")
    return response


def _invalid(error: ValidationError) -> Response:
    messages = cast(Mapping[str, list[str | Reason]], error.normalized_messages())  # type: ignore[no-untyped-call]
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


def _flat(
    messages: Mapping[str, Mapping[str, list[str | Reason]]],
) -> dict[str, list[str | Reason]]:
    """webargs nests the fields under where they came from (`query`, `form`)."""
    return {field: list(why) for fields in messages.values() for field, why in fields.items()}
