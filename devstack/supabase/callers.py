"""Who is calling: from the API key and the token of a request to a role and its claims."""

from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import Headers

from devstack.supabase.keys import Keys


@dataclass(frozen=True)
class Caller:
    """The PostgreSQL role a request runs as, and the claims its policies read."""

    role: str
    claims: dict[str, Any] = field(default_factory=dict)


ANON = Caller("anon", {"role": "anon"})
SERVICE = Caller("service_role", {"role": "service_role"})


class KeyRejected(Exception):
    """The request carries no API key of this project."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def bearer(headers: Headers) -> str:
    """The token of the Authorization header, or an empty string."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_key(headers: Headers, keys: Keys) -> None:
    """Raise KeyRejected unless the request carries one of the keys, in either header.

    The answers are those of a hosted project's API gateway, which stands before every service.
    """
    key = headers.get("apikey") or bearer(headers)
    if not key:
        raise KeyRejected(
            "No API key found in request",
            "No `apikey` request header or url param was found.",
        )
    if key != keys.publishable and not keys.is_secret(key):
        raise KeyRejected(
            "Invalid API key",
            "Double check your Supabase `anon` or `service_role` API key.",
        )


def identify(headers: Headers, keys: Keys) -> Caller:
    """The caller: a key's own role, or that of the user's token beside it.

    A hosted project's API gateway puts the key's role in place of a missing token, or of one
    that is itself a key. Raises jwt.PyJWTError where the token is neither a key nor ours.
    """
    token = bearer(headers) or headers.get("apikey", "")
    if token == keys.publishable:
        return ANON
    if keys.is_secret(token):
        return SERVICE
    claims = keys.read_token(token)
    return Caller("authenticated", claims)
