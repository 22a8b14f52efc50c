"""Answers polls before Flask, where nothing but Redis has to be asked.

Every client asks for a status every two seconds, and most of what Flask does for a request this
one does not need: so a process answers more than twice as many. It answers what the view
(`vton.tryon.routes.get_status`) would, byte for byte: the body comes from the same function, and
the headers that all answers have are those that the view's last answer had. What is not plain
goes to the view: a token that was not verified a moment ago, a session that Redis does not know,
a URL that has to be signed, every failure, every other method.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from flask import Flask
from werkzeug.http import parse_etags

from vton import log, metrics
from vton.tryon.routes import status_answer
from vton.tryon.service import TryOns
from vton.web.auth import Tokens
from vton.web.envelope import usable_request_id
from vton.web.headers import HEADERS
from vton.words import language_of

_answered_polls = metrics.POLLS.labels("redis")

StartResponse = Callable[..., Any]
Headers = list[tuple[str, str]]

STATUS = re.compile(r"/api/try-on/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/status")
COMMON = frozenset((
    *HEADERS, "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cache-Control",
    "Content-Type", "Strict-Transport-Security", "Vary",
))  # fmt: skip
"""Headers that all answers to one origin have."""
MAX_ORIGINS = 100
"""For so many askers the common headers are kept; the oldest makes room for a new one."""


def init_app(app: Flask, tokens: Tokens, tryons: TryOns) -> None:
    """Put the middleware in front of the application."""
    app.wsgi_app = StatusMiddleware(app.wsgi_app, tokens, tryons)  # type: ignore[method-assign]


class StatusMiddleware:
    """WSGI middleware that answers plain polls and hands on everything else."""

    def __init__(self, app: Any, tokens: Tokens, tryons: TryOns) -> None:
        self._app, self._tokens, self._tryons = app, tokens, tryons
        self._common: dict[tuple[str | None, str], Headers] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a poll, or have the view answer it and note its headers."""
        path = STATUS.fullmatch(environ["PATH_INFO"])
        if path is None or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)  # type: ignore[no-any-return]
        asker = environ.get("HTTP_ORIGIN"), environ["wsgi.url_scheme"]
        common = self._common.get(asker)
        answer = self._answer(environ, path[1], common) if common else None
        if answer is not None:
            status, headers, body = answer
            _answered_polls.inc()
            start_response(status, headers)
            return (body,)

        def noting(status: str, headers: Headers, exc_info: Any = None) -> Any:
            common = [(k, v) for k, v in headers if k in COMMON]
            allowed = asker[0] is None or any(k == "Access-Control-Allow-Origin" for k, _ in common)
            kept_by_clients = any(k == "ETag" for k, _ in headers)
            if status.startswith("200 ") and allowed and kept_by_clients:
                self._keep(asker, common)
            return start_response(status, headers, exc_info)

        return self._app(environ, noting)  # type: ignore[no-any-return]

    def _keep(self, asker: tuple[str | None, str], common: Headers) -> None:
        """Keep the headers that answers to this origin have in common."""
        self._common.pop(asker, None)
        self._common[asker] = common
        if len(self._common) > MAX_ORIGINS:
            self._common.pop(next(iter(self._common)), None)

    def _answer(
        self, environ: dict[str, Any], session_id: str, common: Headers
    ) -> tuple[str, Headers, bytes] | None:
        request_id = usable_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        log.request_id.set(request_id)
        log.session_id.set(session_id)
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        user_id = self._tokens.verified(token) if scheme == "Bearer" else None
        view = self._tryons.cached_status(user_id, session_id) if user_id else None
        if view is None:
            return None
        language = language_of(environ.get("HTTP_ACCEPT_LANGUAGE", ""))
        data, own = status_answer(session_id, view, language)
        own["X-Request-ID"] = request_id
        if "HTTP_IF_NONE_MATCH" in environ:
            tags = parse_etags(environ["HTTP_IF_NONE_MATCH"])
            if tags.contains_raw(own["ETag"]):
                plain = [(k, v) for k, v in common if k != "Content-Type"]
                return "304 NOT MODIFIED", [*plain, *own.items()], b""
        body = orjson.dumps({"success": True, "data": data})
        own["Content-Length"] = str(len(body))
        return "200 OK", [*common, *own.items()], body
