"""Users, their sessions and their tokens, as rows of the schema `auth` and as JSON."""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import current_app
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from werkzeug.security import check_password_hash, generate_password_hash

from devstack.supabase.services import Gateway

SHORTEST_PASSWORD, LONGEST_PASSWORD = 6, 72
CHEAP_HASH = "scrypt:1024:8:1"
"""A millisecond of work: these accounts are on loopback, and tests make one each."""


class AuthError(Exception):
    """A failure with GoTrue's status, code and message."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


def new_user(body: dict[str, Any]) -> dict[str, Any]:
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
    data = metadata(body, "data") or metadata(body, "user_metadata")
    app = {"provider": "email", "providers": ["email"], **metadata(body, "app_metadata")}
    return {
        "email": email,
        "encrypted_password": generate_password_hash(password, CHEAP_HASH),
        "email_confirmed_at": datetime.now(UTC),
        "raw_app_meta_data": Jsonb(app),
        "raw_user_meta_data": Jsonb({**data, "email_verified": True}),
    }


def metadata(body: dict[str, Any], name: str) -> dict[str, Any]:
    """What a client wants kept with a user: an object, or nothing."""
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise AuthError(400, "validation_failed", f"{name} must be an object")
    return value


def insert_user(cursor: Cursor[DictRow], values: dict[str, Any]) -> DictRow:
    """A new row of `auth.users`; its address may be taken (psycopg.errors.UniqueViolation)."""
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    cursor.execute(f"insert into auth.users ({names}) values ({places}) returning *", values)
    return _one(cursor)


def _one(cursor: Cursor[DictRow]) -> DictRow:
    row = cursor.fetchone()
    assert row is not None
    return row


def find_by_password(cursor: Cursor[DictRow], body: dict[str, Any]) -> DictRow:
    """The user with this email address and this password."""
    email, password = str(body.get("email") or "").lower(), str(body.get("password") or "")
    if not email:
        raise AuthError(400, "validation_failed", "missing email or phone")
    row = cursor.execute("select * from auth.users where email = %s", (email,)).fetchone()
    if row is None or not check_password_hash(row["encrypted_password"] or "", password):
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    return row


def open_session(
    project: Gateway, cursor: Cursor[DictRow], row: DictRow, method: str
) -> dict[str, Any]:
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
    refresh_token = _new_refresh_token(cursor, session["id"], None)
    return _session_json(project, row, session, refresh_token)


def _new_refresh_token(cursor: Cursor[DictRow], session: UUID, parent: str | None) -> str:
    value = secrets.token_urlsafe(16)
    cursor.execute(
        "insert into auth.refresh_tokens (session_id, token, parent) values (%s, %s, %s)",
        (session, value, parent),
    )
    return value


def refresh(project: Gateway, value: str) -> dict[str, Any]:
    """New tokens for a refresh token, which is used up.

    One that was used already still gets the pair that it was exchanged for, in case the answer
    was lost or two tabs asked at once. An older one was stolen: its session ends.
    """
    with project.database.transaction() as cursor:
        session = cursor.execute(
            "select r.token, s.* from auth.refresh_tokens r"
            " join auth.sessions s on s.id = r.session_id where r.token = %s for update of s",
            (value,),
        ).fetchone()
        if session is None:
            message = "Invalid Refresh Token: Refresh Token Not Found"
            raise AuthError(400, "refresh_token_not_found", message)
        current = _exchange(cursor, session)
        if current:
            cursor.execute("select * from auth.users where id = %s", (session["user_id"],))
            return _session_json(project, _one(cursor), session, current)
    message = "Invalid Refresh Token: Already Used"
    raise AuthError(400, "refresh_token_already_used", message)


def _exchange(cursor: Cursor[DictRow], session: DictRow) -> str | None:
    """The token that follows this one; None where the session had to end."""
    token = session["token"]
    unused = cursor.execute(
        "update auth.refresh_tokens set revoked = true where token = %s and not revoked"
        " returning id",
        (token,),
    ).fetchone()
    if unused:
        return _new_refresh_token(cursor, session["id"], token)
    child = cursor.execute(
        "select token from auth.refresh_tokens where parent = %s and not revoked", (token,)
    ).fetchone()
    if child is None:
        cursor.execute("delete from auth.sessions where id = %s", (session["id"],))
        return None
    return str(child["token"])


def find_user(cursor: Cursor[DictRow], user_id: str) -> DictRow:
    """The user of that id."""
    try:
        row = cursor.execute("select * from auth.users where id = %s", (UUID(user_id),)).fetchone()
    except ValueError:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from None
    if row is None:
        raise AuthError(404, "user_not_found", "User not found")
    return row


def signed_in(cursor: Cursor[DictRow], claims: dict[str, Any]) -> tuple[DictRow, str]:
    """The user that a token's claims name, and the session: both may be gone since."""
    row = cursor.execute("select * from auth.users where id = %s", (claims["sub"],)).fetchone()
    if row is None:
        message = "User from sub claim in JWT does not exist"
        raise AuthError(403, "user_not_found", message)
    session = claims.get("session_id")
    if not cursor.execute("select 1 from auth.sessions where id = %s", (session,)).fetchone():
        message = "Session from session_id claim in JWT does not exist"
        raise AuthError(403, "session_not_found", message)
    return row, str(session)


def _session_json(
    project: Gateway, row: DictRow, session: DictRow, refresh_token: str
) -> dict[str, Any]:
    now = int(time.time())
    seconds = current_app.extensions["control"].settings.token_seconds
    claims = {
        "iss": f"{project.public_url}/auth/v1",
        "sub": str(row["id"]),
        "aud": "authenticated",
        "exp": now + seconds,
        "iat": now,
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        "app_metadata": row["raw_app_meta_data"],
        "user_metadata": row["raw_user_meta_data"],
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": session["method"], "timestamp": int(session["created_at"].timestamp())}],
        "session_id": str(session["id"]),
        "is_anonymous": row["is_anonymous"],
    }
    return {
        "access_token": project.keys.sign_token(claims),
        "token_type": "bearer",
        "expires_in": seconds,
        "expires_at": now + seconds,
        "refresh_token": refresh_token,
        "user": user_json(row),
    }


def user_json(row: DictRow) -> dict[str, Any]:
    """A user as the service shows it."""
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
