"""`/metrics` for Prometheus, and `/admin`: one page that says whether it is well."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Blueprint, Flask, Response, current_app, make_response, render_template
from prometheus_client import CONTENT_TYPE_LATEST

from vton.errors import Problem
from vton.operations.model import Level, Overview
from vton.operations.verdict import verdict
from vton.web.auth import public
from vton.web.envelope import failure
from vton.web.operators import LOGIN, Operators

metrics_bp = Blueprint("metrics", __name__)
admin_bp = Blueprint("admin", __name__, template_folder="templates")

POLICY = "default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none';"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
RELOAD_SECONDS = 15


@dataclass(frozen=True)
class Pages:
    """What the operator's pages show."""

    overview: Callable[[], Overview]
    exposition: Callable[[], bytes]


def init_app(app: Flask, pages: Pages, operators: Operators) -> None:
    """Put those pages into the application whose secrets are set."""
    app.extensions["pages"], app.extensions["operators"] = pages, operators
    if operators.metrics_token:
        app.register_blueprint(metrics_bp)
    if operators.password:
        app.register_blueprint(admin_bp)


@metrics_bp.get("/metrics")
@public
def scrape() -> Response:
    """Answer Prometheus, which sends METRICS_TOKEN."""
    _operators().check_token()
    response = Response(_pages().exposition(), content_type=CONTENT_TYPE_LATEST)
    response.headers["Cache-Control"] = "no-store"
    return response


@admin_bp.get("/admin")
@public
def show() -> Response:
    """Show how it is going to who has signed in (HTTP Basic)."""
    try:
        _operators().check_login()
    except Problem as problem:
        response = failure(problem)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = LOGIN
        return response
    overview = _pages().overview()
    findings = verdict(overview)
    page = render_template(
        "admin.html", seen=overview, reload=RELOAD_SECONDS,
        troubles=[one for one in findings if one.level is not Level.OK],
    )  # fmt: skip
    response = make_response(page)
    styles = " ".join(f"'sha256-{_sha256(style)}'" for style in _STYLE.findall(page))
    response.headers["Content-Security-Policy"] = POLICY.format(styles=styles)
    response.headers["Cache-Control"] = "no-store"
    return response


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _pages() -> Pages:
    return cast(Pages, current_app.extensions["pages"])


def _operators() -> Operators:
    return cast(Operators, current_app.extensions["operators"])
