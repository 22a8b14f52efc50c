"""Headers that tell a browser what it must not do with an answer.

They hold for every answer that has not set its own: a page sets its own
`Content-Security-Policy`, everything else is data, which loads and runs nothing.
"""

from collections.abc import Sequence

from flask import Flask, Response, request
from werkzeug.sansio.utils import host_is_trusted

from vton.errors import Problem

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # does not concern what CORS lets through
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
MAX_ASKED = 1000
TRANSPORT_SECURITY = "max-age=31536000"
"""A year of https for this host alone: others may share its domain (herokuapp.com)."""


def init_app(app: Flask, trusted_hosts: Sequence[str]) -> None:
    """Add the headers to every answer; answer those only who name one of these hosts, if any are.

    Health checks are answered by any name: who asks them knows an address.
    """

    def refuse_other_names() -> None:
        named = request.environ.get("HTTP_HOST", "")
        exempt = not trusted_hosts or request.path.startswith("/health/")
        if not exempt and not host_is_trusted(named, trusted_hosts):
            raise Problem("bad_request")

    app.before_request(refuse_other_names)
    app.before_request(_refuse_long_preflight)
    app.after_request(_protect)


def _refuse_long_preflight() -> None:
    """What is asked for is compared with each pattern, name by name."""
    if len(request.headers.get("Access-Control-Request-Headers", "")) > MAX_ASKED:
        raise Problem("headers_too_large")


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", TRANSPORT_SECURITY)
    if request.path.startswith("/api/"):
        # Also where no CORS header was needed: a cache must not give that answer to others.
        response.vary.add("Origin")
    return response
