"""One line for each answer, and the same counted for `/metrics`.

Polls that were fine are counted only: each client makes one every two seconds. So are health checks
and scrapes.
"""

import logging
import time
from http import HTTPStatus
from urllib.parse import quote

from flask import Flask, Response, g, request

from vton import log, metrics

logger = logging.getLogger("vton.access")

POLLS = {"try-on.get_status", "health.live", "health.ready", "health.service", "metrics.scrape"}
"""What is asked so often that an answer that was fine leaves no line."""
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
"""Anybody may make up others, and each would be counted by itself."""


def init_app(app: Flask) -> None:
    """Note what is answered. Call it before everything else that looks at requests."""
    app.before_request(_start)
    app.after_request(_write)


def _start() -> None:
    g.began = time.perf_counter()
    log.session_id.set(str((request.view_args or {}).get("session_id", "")))


def _write(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    status, code = response.status_code, str(g.get("error_code", ""))
    route = request.url_rule.rule if request.url_rule else "unmatched"
    method = request.method if request.method in METHODS else "other"
    metrics.REQUESTS.labels(method, route, str(status), code).inc()
    metrics.REQUEST_SECONDS.labels(route).observe(seconds)
    if request.endpoint == "try-on.get_status" and status < HTTPStatus.BAD_REQUEST:
        metrics.POLLS.labels("view").inc()
    if request.endpoint in POLLS and status < HTTPStatus.BAD_REQUEST:
        return response
    fields: dict[str, object] = {"status": status, "ms": round(seconds * 1000)}
    if (size := response.content_length) is not None:
        fields["bytes"] = size
    if code:
        fields["code"] = code
    if user_id := g.get("user_id"):
        fields["user"] = log.hashed(user_id)
    path = route if request.url_rule else log.cleaned(quote(request.path), 100)
    logger.log(_level(status), "%s %s", method, path, extra=fields)
    return response


def _level(status: int) -> int:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR
    return logging.WARNING if status > HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
