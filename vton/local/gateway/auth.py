"""The Auth service at `/auth/v1`: the part of supabase/auth (GoTrue) that sign-in needs.

Sign-up confirms at once, as with "Confirm email" switched off, and anonymous sign-in is on.
Error bodies come in the two forms that its API version header chooses between; see
https://github.com/supabase/auth/blob/master/internal/api/errors.go.
"""

import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import jwt
import psycopg
from flask import Blueprint, Response, jsonify, request
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from werkzeug.security import check_password_hash, generate_password_hash

from vton.local.gateway.callers import bearer, identify
from vton.local.gateway.services import gateway

bp = Blueprint("auth", __name__, url_prefix="/auth/v1")

TOKEN_SECONDS = 3600
SHORTEST_PASSWORD, LONGEST_PASSWORD = 6, 72
VERSION_HEADER, VERSION = "X-Supabase-Api-Version", "2024-01-01"
View = TypeVar("View", bound=Callable[..., Any])


class AuthError(Exception):
    """A failure with GoTrue's status, code and message."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


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
        values = {"is_anonymous": True, "raw_user_meta_data": Jsonb(body.get("data") or {})}
        method = "anonymous"
    else:
        values = _new_user(body)
        method = "password"
    try:
        with gateway().database.transaction() as cursor:
            return jsonify(_open_session(cursor, _insert_user(cursor, values), method))
    except psycopg.errors.UniqueViolation:
        raise AuthError(422, "user_already_exists", "User already registered") from None


@bp.post("/token")
def token() -> Response:
    """A session by password, or a new one in place of a refresh token."""
    grant = request.args.get("grant_type")
    if grant == "password":
        return jsonify(_sign_in(_body()))
    if grant == "refresh_token":
        return jsonify(_refresh(str(_body().get("refresh_token") or "")))
    if grant in ("pkce", "id_token", "web3"):
        raise AuthError(501, "not_supported", f"The local gateway does not support {grant}.")
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


@bp.get("/user")
def user() -> Response:
    """The user whose token it is."""
    with gateway().database.transaction() as cursor:
        return jsonify(_user_json(_signed_in(cursor)[0]))


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
        if not bearer(request.headers) and request.headers.get("apikey") != gateway().keys.secret:
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
    values = _new_user(_body())
    try:
        with gateway().database.transaction() as cursor:
            return jsonify(_user_json(_insert_user(cursor, values)))
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
    response = jsonify(users=[_user_json(row) for row in found], aud="authenticated")
    response.headers["X-Total-Count"] = str(found[0]["total"] if found else 0)
    return response


@bp.get("/admin/users/<user_id>")
@service_only
def get_user(user_id: str) -> Response:
    """One user."""
    with gateway().database.transaction() as cursor:
        return jsonify(_user_json(_found_user(cursor, user_id)))


@bp.delete("/admin/users/<user_id>")
@service_only
def delete_user(user_id: str) -> Response:
    """A user and, by the foreign keys, everything that refers to them."""
    with gateway().database.transaction() as cursor:
        row = _found_user(cursor, user_id)
        cursor.execute("delete from auth.users where id = %s", (row["id"],))
    return jsonify({})


def _found_user(cursor: Cursor[DictRow], user_id: str) -> DictRow:
    try:
        row = cursor.execute("select * from auth.users where id = %s", (UUID(user_id),)).fetchone()
    except ValueError:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from None
    if row is None:
        raise AuthError(404, "user_not_found", "User not found")
    return row


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return body


def _new_user(body: dict[str, Any]) -> dict[str, Any]:
    """The columns of a user with an email address and a password, both checked."""
    email = str(body.get("email") or "").lower()
    password = str(body.get("password") or "")
    if not password:
        raise AuthError(400, "validation_failed", "Signup requires a valid password")
    if not re.fullmatch(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+", email) or len(email) > 255:
        message = "Unable to validate email address: invalid format"
        raise AuthError(400, "validation_failed", message)
    if len(password.encode()) > LONGEST_PASSWORD:
        message = f"Password cannot be longer than {LONGEST_PASSWORD} characters"
        raise AuthError(400, "validation_failed", message)
    if len(password) < SHORTEST_PASSWORD:
        message = f"Password should be at least {SHORTEST_PASSWORD} characters."
        raise AuthError(422, "weak_password", message, weak_password={"reasons": ["length"]})
    data = body.get("data") or body.get("user_metadata") or {}
    app = {"provider": "email", "providers": ["email"], **(body.get("app_metadata") or {})}
    return {
        "email": email,
        "encrypted_password": generate_password_hash(password),
        "email_confirmed_at": datetime.now(UTC),
        "raw_app_meta_data": Jsonb(app),
        "raw_user_meta_data": Jsonb({**data, "email_verified": True}),
    }


def _insert_user(cursor: Cursor[DictRow], values: dict[str, Any]) -> DictRow:
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    cursor.execute(f"insert into auth.users ({names}) values ({places}) returning *", values)
    return _one(cursor)


def _one(cursor: Cursor[DictRow]) -> DictRow:
    row = cursor.fetchone()
    assert row is not None
    return row


def _sign_in(body: dict[str, Any]) -> dict[str, Any]:
    email, password = str(body.get("email") or "").lower(), str(body.get("password") or "")
    if not email:
        raise AuthError(400, "validation_failed", "missing email or phone")
    with gateway().database.transaction() as cursor:
        row = cursor.execute("select * from auth.users where email = %s", (email,)).fetchone()
    if row is None or not check_password_hash(row["encrypted_password"] or "", password):
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    with gateway().database.transaction() as cursor:
        return _open_session(cursor, row, "password")


def _open_session(cursor: Cursor[DictRow], row: DictRow, method: str) -> dict[str, Any]:
    """A new session of the user, with its first pair of tokens."""
    cursor.execute(
        "update auth.users set last_sign_in_at = now(), updated_at = now() where id = %s"
        " returning *",
        (row["id"],),
    )
    row = _one(cursor)
    cursor.execute(
        "insert into auth.sessions (user_id, method) values (%s, %s) returning *",
        (row["id"], method),
    )
    session = _one(cursor)
    return _session_json(row, session, _new_refresh_token(cursor, session["id"], None))


def _new_refresh_token(cursor: Cursor[DictRow], session: UUID, parent: str | None) -> str:
    value = secrets.token_urlsafe(16)
    cursor.execute(
        "insert into auth.refresh_tokens (session_id, token, parent) values (%s, %s, %s)",
        (session, value, parent),
    )
    return value


def _refresh(value: str) -> dict[str, Any]:
    """New tokens for a refresh token, which is used up.

    One that was used already still gets the pair that it was exchanged for, in case the answer
    was lost or two tabs asked at once. An older one was stolen: its session ends.
    """
    with gateway().database.transaction() as cursor:
        cursor.execute(
            "select r.token, r.revoked, s.* from auth.refresh_tokens r"
            " join auth.sessions s on s.id = r.session_id where r.token = %s for update of s",
            (value,),
        )
        session = cursor.fetchone()
        if session is None:
            message = "Invalid Refresh Token: Refresh Token Not Found"
            raise AuthError(400, "refresh_token_not_found", message)
        current = _exchange(cursor, session)
        if current:
            cursor.execute("select * from auth.users where id = %s", (session["user_id"],))
            return _session_json(_one(cursor), session, current)
    message = "Invalid Refresh Token: Already Used"
    raise AuthError(400, "refresh_token_already_used", message)


def _exchange(cursor: Cursor[DictRow], session: DictRow) -> str | None:
    """The token that follows this one; None where the session had to end."""
    if not session["revoked"]:
        cursor.execute(
            "update auth.refresh_tokens set revoked = true where token = %s", (session["token"],)
        )
        return _new_refresh_token(cursor, session["id"], session["token"])
    child = cursor.execute(
        "select token from auth.refresh_tokens where parent = %s and not revoked",
        (session["token"],),
    ).fetchone()
    if child is None:
        cursor.execute("delete from auth.sessions where id = %s", (session["id"],))
        return None
    return str(child["token"])


def _signed_in(cursor: Cursor[DictRow]) -> tuple[DictRow, str]:
    """The user whose token the request carries, and the session it belongs to."""
    value = bearer(request.headers)
    if not value:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        claims = gateway().keys.read_token(value)
    except jwt.PyJWTError as error:
        raise _bad_token(error) from None
    row = cursor.execute("select * from auth.users where id = %s", (claims["sub"],)).fetchone()
    if row is None:
        message = "User from sub claim in JWT does not exist"
        raise AuthError(403, "user_not_found", message)
    session = claims.get("session_id")
    if not cursor.execute("select 1 from auth.sessions where id = %s", (session,)).fetchone():
        message = "Session from session_id claim in JWT does not exist"
        raise AuthError(403, "session_not_found", message)
    return row, str(session)


def _bad_token(error: jwt.PyJWTError) -> AuthError:
    message = f"invalid JWT: unable to parse or verify signature, {error}"
    return AuthError(403, "bad_jwt", message)


def _session_json(row: DictRow, session: DictRow, refresh_token: str) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": f"{gateway().public_url}/auth/v1",
        "sub": str(row["id"]),
        "aud": "authenticated",
        "exp": now + TOKEN_SECONDS,
        "iat": now,
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        "app_metadata": row["raw_app_meta_data"],
        "user_metadata": row["raw_user_meta_data"],
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": session["method"], "timestamp": _seconds(session["created_at"])}],
        "session_id": str(session["id"]),
        "is_anonymous": row["is_anonymous"],
    }
    return {
        "access_token": gateway().keys.sign_token(claims),
        "token_type": "bearer",
        "expires_in": TOKEN_SECONDS,
        "expires_at": now + TOKEN_SECONDS,
        "refresh_token": refresh_token,
        "user": _user_json(row),
    }


def _user_json(row: DictRow) -> dict[str, Any]:
    times = ("email_confirmed_at", "last_sign_in_at", "created_at", "updated_at")
    return {
        "id": str(row["id"]),
        "aud": row["aud"],
        "role": row["role"],
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        "app_metadata": row["raw_app_meta_data"],
        "user_metadata": row["raw_user_meta_data"],
        "identities": [] if row["is_anonymous"] else [_identity(row)],
        "is_anonymous": row["is_anonymous"],
        **{name: _iso(row[name]) for name in times if row[name] is not None},
    }


def _identity(row: DictRow) -> dict[str, Any]:
    """The one way this user can sign in. A client tells by it that a sign-up was a new user."""
    return {
        "identity_id": str(row["id"]),
        "id": str(row["id"]),
        "user_id": str(row["id"]),
        "identity_data": {"email": row["email"], "sub": str(row["id"])},
        "provider": "email",
        "email": row["email"],
        "last_sign_in_at": _iso(row["last_sign_in_at"] or row["created_at"]),
        "created_at": _iso(row["created_at"]),
        "updated_at": _iso(row["updated_at"]),
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
