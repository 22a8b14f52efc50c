"""The gateway's Flask application: three services behind one door, as on a hosted project."""

from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from devstack.local import LOCAL_HOSTS, refuse_pages
from devstack.supabase import auth, control, rest, storage, storage_errors
from devstack.supabase.callers import KeyRejected, check_key
from devstack.supabase.rest_schema import Schema
from devstack.supabase.services import Gateway, gateway

OPEN = ("/auth/v1/.well-known/jwks.json", "/auth/v1/health", "/storage/v1/", "/_gateway/")
"""What needs no API key. Storage looks at the caller's token itself: a signed URL has no key."""

EXPOSED = "Content-Range, Content-Location, Range-Unit, X-Total-Count, Link, X-Supabase-Api-Version"


def create_app(parts: Gateway) -> Flask:
    """The application for one project."""
    app = Flask(__name__, static_folder=None)
    app.config["TRUSTED_HOSTS"] = LOCAL_HOSTS
    app.json.sort_keys = False  # type: ignore[attr-defined] # of the default provider
    app.extensions["gateway"] = parts
    app.extensions["rest_schema"] = Schema(parts.database)
    app.extensions["control"] = control.Control()
    refuse_pages(app, control.bp.url_prefix)
    app.before_request(control.before_request)
    app.before_request(_answer_preflight)
    app.before_request(_require_key)
    app.after_request(_allow_every_origin)
    app.register_error_handler(HTTPException, _http_error)
    for part in (auth, rest, storage, control):
        app.register_blueprint(part.bp)
    return app


def _answer_preflight() -> Response | None:
    if request.method != "OPTIONS":
        return None
    response = Response(status=204)
    asked = request.headers.get("Access-Control-Request-Headers", "*")
    response.headers["Access-Control-Allow-Headers"] = asked
    response.headers["Access-Control-Allow-Methods"] = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS"
    response.headers["Access-Control-Max-Age"] = "3600"
    return response


def _require_key() -> tuple[Response, int] | None:
    if request.path.startswith(OPEN):
        return None
    try:
        check_key(request.headers, gateway().keys)
    except KeyRejected as error:
        return jsonify(message=error.message, hint=error.hint), 401
    return None


def _allow_every_origin(response: Response) -> Response:
    if not request.path.startswith(f"{control.bp.url_prefix}/"):
        response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _http_error(error: HTTPException) -> Any:
    """What no service answers: a path or a method that this gateway has not, or its own fault."""
    if error.code in (404, 405):
        status, code = 501, "not_supported"
        message = f"The local gateway does not support {request.method} {request.path}."
    else:
        status, code = error.code or 500, "unexpected_failure"
        message = error.description or error.name
    if request.path.startswith("/storage/v1/"):
        return storage_errors.error_response(status, code, message)
    if request.path.startswith("/auth/v1/"):
        return auth.error_response(status, code, message)
    rest_code = "PGRST127" if status == 501 else "PGRSTX00"
    return jsonify(code=rest_code, message=message, details=None, hint=None), status
