"""Who asks: the one decorator that checks a user's Supabase access token."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Protocol, cast

from flask import current_app, g, request
from flask.typing import ResponseReturnValue

from vton import metrics
from vton.errors import Problem

P = ParamSpec("P")


class Tokens(Protocol):
    """Verifies access tokens."""

    def verify(self, token: str) -> str:
        """Return the id of the user to whom `token` was issued; Problem if it is not good."""
        ...

    def verified(self, token: str) -> str | None:
        """Return the user of a token that was verified a moment ago, or None."""
        ...


def user_required(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Let only signed-in users in; the view finds the user's id by `current_user()`."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        tokens = cast(Tokens, current_app.extensions["tokens"])
        g.user_id = tokens.verify(_bearer_token())
        return view(*args, **kwargs)

    cast(Any, checked).access = "user"
    return checked


def public(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Say that everybody may call this view: each route says who may, and a test looks."""
    cast(Any, view).access = "public"
    return view


def current_user() -> str:
    """The id (a UUID) of the user that `user_required` let in."""
    return cast(str, g.user_id)


def _bearer_token() -> str:
    """The token of the only `Authorization: Bearer` header (RFC 6750, section 2.1)."""
    sent = request.headers.getlist("Authorization")
    if not sent:
        metrics.REFUSED_TOKENS.labels("missing").inc()
        raise Problem("token_missing")
    scheme, _, token = sent[0].partition(" ")
    # WSGI joins repeated headers with a comma, which no token contains.
    if len(sent) > 1 or scheme.lower() != "bearer" or not token.strip() or "," in token:
        metrics.REFUSED_TOKENS.labels("malformed").inc()
        raise Problem("token_invalid")
    return token.strip()
