"""The Auth service at `/auth/v1`: the part of supabase/auth (GoTrue) that sign-in needs.

Sign-up confirms at once, as with "Confirm email" switched off, and anonymous sign-in is on.
Error bodies come in the two forms that its API version header chooses between; see
https://github.com/supabase/auth/blob/master/internal/api/errors.go.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import jwt
import psycopg
from flask import Blueprint, Response, jsonify, request
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from devstack.supabase.auth_users import (
    AuthError,
    find_by_password,
    find_user,
    insert_user,
    metadata,
    new_user,
    open_session,
    refresh,
    signed_in,
    user_json,
)
from devstack.supabase.callers import bearer, identify
from devstack.supabase.services import gateway

bp = Blueprint("auth", __name__, url_prefix="/auth/v1")

VERSION_HEADER, VERSION = "X-Supabase-Api-Version", "2024-01-01"
View = TypeVar("View", bound=Callable[..., Any])


def error_response(status: int, code: str, message: str, **more: Any) -> Response:
    """GoTrue's error body, in the form of the API version that the client speaks."""
    if request.headers.get(VERSION_HEADER, "") >= VERSION:
        response = jsonify(code=code, message=message, **more)
        response.headers[VERSION_HEADER] = VERSION
    else:
        response = jsonify(code=status, error_code=code, msg=message, **more)
    response.status_code = status
    response.headers["X-Sb-Error-Code"] = code
    return response


@bp.errorhandler(AuthError)
def _failed(error: AuthError) -> Response:
    return error_response(error.status, error.code, error.message, **error.more)


@bp.errorhandler(psycopg.DataError)
def _not_storable(error: psycopg.DataError) -> Response:
    return error_response(400, "validation_failed", str(error))


@bp.get("/.well-known/jwks.json")
def jwks() -> Response:
    """The keys that verify access tokens."""
    response = jsonify(gateway().keys.public_jwks())
    response.headers["Cache-Control"] = "public, max-age=600"
    return response


@bp.get("/health")
def health() -> dict[str, str]:
    """Whether it runs."""
    return {"name": "GoTrue", "version": "local", "description": "The local gateway's Auth"}


@bp.get("/settings")
def settings() -> dict[str, Any]:
    """Which ways to sign in there are."""
    return {
        "external": {"email": True, "anonymous_users": True, "phone": False},
        "disable_signup": False,
        "mailer_autoconfirm": True,
        "phone_autoconfirm": False,
        "sms_provider": "",
        "saml_enabled": False,
    }


@bp.post("/signup")
def sign_up() -> Response:
    """A new user by email and password, or with neither an anonymous one; signed in at once."""
    body = _body()
    if not body.get("email") and not body.get("password") and not body.get("phone"):
        values = {"is_anonymous": True, "raw_user_meta_data": Jsonb(metadata(body, "data"))}
        method = "anonymous"
    else:
        values = new_user(body)
        method = "password"
    try:
        with gateway().database.transaction() as cursor:
            return jsonify(open_session(gateway(), cursor, insert_user(cursor, values), method))
    except psycopg.errors.UniqueViolation:
        raise AuthError(422, "user_already_exists", "User already registered") from None


@bp.post("/token")
def token() -> Response:
    """A session by password, or a new one in place of a refresh token."""
    grant = request.args.get("grant_type")
    if grant == "password":
        with gateway().database.transaction() as cursor:
            row = find_by_password(cursor, _body())
            return jsonify(open_session(gateway(), cursor, row, "password"))
    if grant == "refresh_token":
        return jsonify(refresh(gateway(), str(_body().get("refresh_token") or "")))
    if grant in ("pkce", "id_token", "web3"):
        raise AuthError(501, "not_supported", f"The local gateway does not support {grant}.")
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


@bp.get("/user")
def user() -> Response:
    """The user whose token it is."""
    with gateway().database.transaction() as cursor:
        return jsonify(user_json(_signed_in(cursor)[0]))


@bp.post("/logout")
def sign_out() -> tuple[str, int]:
    """End this session, the others, or (the default) every session of the user."""
    scope = request.args.get("scope", "global")
    chosen = {
        "global": "true",
        "local": "id = %(session)s",
        "others": "id <> %(session)s",
    }.get(scope)
    if chosen is None:
        raise AuthError(400, "validation_failed", f"Unsupported logout scope '{scope}'")
    with gateway().database.transaction() as cursor:
        row, session = _signed_in(cursor)
        cursor.execute(
            f"delete from auth.sessions where user_id = %(user)s and {chosen}",
            {"user": row["id"], "session": session},
        )
    return "", 204


def service_only(view: View) -> View:
    """Only the secret key may call this view."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("apikey", "")
        if not bearer(request.headers) and not gateway().keys.is_secret(key):
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            role = identify(request.headers, gateway().keys).role
        except jwt.PyJWTError as error:
            raise _bad_token(error) from None
        if role != "service_role":
            raise AuthError(403, "not_admin", "User not allowed")
        return view(*args, **kwargs)

    return guarded  # type: ignore[return-value]


@bp.post("/admin/users")
@service_only
def create_user() -> Response:
    """A new user, who gets no session."""
    values = new_user(_body())
    try:
        with gateway().database.transaction() as cursor:
            return jsonify(user_json(insert_user(cursor, values)))
    except psycopg.errors.UniqueViolation:
        message = "A user with this email address has already been registered"
        raise AuthError(422, "email_exists", message) from None


@bp.get("/admin/users")
@service_only
def list_users() -> Response:
    """Every user, the newest first, in pages of 50."""
    page = request.args.get("page", 1, type=int)
    size = request.args.get("per_page", 50, type=int)
    if page < 1 or size < 1:
        raise AuthError(400, "validation_failed", "Bad Pagination Parameters")
    with gateway().database.transaction() as cursor:
        found = cursor.execute(
            "select *, count(*) over () as total from auth.users"
            " order by created_at desc, id limit %s offset %s",
            (size, (page - 1) * size),
        ).fetchall()
    response = jsonify(users=[user_json(row) for row in found], aud="authenticated")
    response.headers["X-Total-Count"] = str(found[0]["total"] if found else 0)
    return response


@bp.get("/admin/users/<user_id>")
@service_only
def get_user(user_id: str) -> Response:
    """One user."""
    with gateway().database.transaction() as cursor:
        return jsonify(user_json(find_user(cursor, user_id)))


@bp.delete("/admin/users/<user_id>")
@service_only
def delete_user(user_id: str) -> Response:
    """A user and, by the foreign keys, everything that refers to them."""
    with gateway().database.transaction() as cursor:
        row = find_user(cursor, user_id)
        cursor.execute("delete from auth.users where id = %s", (row["id"],))
    return jsonify({})


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return body


def _signed_in(cursor: Cursor[DictRow]) -> tuple[DictRow, str]:
    """The user whose token the request carries, and the session it belongs to."""
    value = bearer(request.headers)
    if not value:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return signed_in(cursor, gateway().keys.read_token(value))
    except jwt.PyJWTError as error:
        raise _bad_token(error) from None


def _bad_token(error: jwt.PyJWTError) -> AuthError:
    message = f"invalid JWT: unable to parse or verify signature, {error}"
    return AuthError(403, "bad_jwt", message)
