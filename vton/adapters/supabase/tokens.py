"""Supabase access tokens: ES256 or RS256 by the project's published keys, HS256 by its secret.

Projects that never migrated sign with one HS256 secret and publish an empty set.
"""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import jwt

from vton import metrics
from vton.adapters.supabase.keys import Clock, KeySet, fetch_from
from vton.errors import Problem

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 60
"""How long a verified token is not verified again: so long it may outlive its key."""
MAX_REMEMBERED = 10_000
REFUSALS_SECONDS = 60
"""How often the log is told why tokens are refused."""
LEEWAY_SECONDS = 30
"""How far Supabase's clock and ours may be apart: as far as PostgREST lets them."""


class SupabaseTokens:
    """Verifies the access tokens of one Supabase project. Safe to share between threads."""

    def __init__(
        self,
        supabase_url: str,
        jwt_secret: str = "",
        issuers: Collection[str] = (),
        keys: KeySet | None = None,
        clock: Clock = time.time,
        now: Clock = time.monotonic,
    ) -> None:
        url = f"{supabase_url}/auth/v1"
        self._issuers = tuple(issuers or (url,))
        self._keys = keys or KeySet(fetch_from(f"{url}/.well-known/jwks.json"))
        self._secret = jwt_secret
        self._clock = clock
        self._remembered = _Remembered(now)
        self._refusals = _Refusals(now)

    def verify(self, token: str) -> str:
        """Return the user id (`sub`, a UUID) of an access token.

        Raises Problem `token_expired`, `token_invalid`, or `keys_unavailable`.
        """
        try:
            if user_id := self.verified(token):
                return user_id
            user_id, seconds = self._read(token)
        except jwt.ExpiredSignatureError:
            self._refusals.count("expired")
            raise Problem("token_expired") from None
        except jwt.ImmatureSignatureError:
            self._refusals.count("not yet valid", "is this machine's clock right?")
            raise Problem("token_invalid") from None
        except jwt.InvalidIssuerError:  # the signature is the project's own
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
            self._refusals.count("issuer", f"{issuer!r:.200}, not one of {self._issuers}")
            raise Problem("token_invalid") from None
        except jwt.InvalidSignatureError:
            self._refusals.count("signature")
            raise Problem("token_invalid") from None
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            self._refusals.count("malformed")
            raise Problem("token_invalid") from None
        self._remembered.put(_digest(token), user_id, seconds)
        return user_id

    def verified(self, token: str) -> str | None:
        """Return the user of a token that `verify` has found good within the last minute."""
        return self._remembered.get(_digest(token))

    def _read(self, token: str) -> tuple[str, float]:
        """The user, and for how many seconds the token is still good."""
        key, algorithm = self._key_for(jwt.get_unverified_header(token))
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience="authenticated",
            issuer=self._issuers,
            options={
                "require": ["exp", "iat", "sub", "aud", "iss"],
                # Those of our own clock are below.
                "verify_exp": False, "verify_nbf": False, "verify_iat": False,
            },
        )  # fmt: skip
        if claims.get("role") != "authenticated":
            self._refusals.count("role")
            raise Problem("token_invalid")
        return str(UUID(claims["sub"])), _seconds_left(claims, self._clock())

    def _key_for(self, header: Mapping[str, object]) -> tuple[jwt.PyJWK | str, str]:
        """The key and the one algorithm it is good for.

        The token only says which of our keys it names, and what else its head says (`jku`,
        `x5u`, `jwk`) is not read. A published key is never used as an HMAC secret, nor the
        secret for anything else.
        """
        if header.get("alg") == "HS256":
            if not self._secret:
                self._refusals.count("algorithm", "HS256, and SUPABASE_JWT_SECRET is not set")
                raise Problem("token_invalid")
            return self._secret, "HS256"
        kid = header.get("kid")
        if header.get("alg") not in ("ES256", "RS256") or not isinstance(kid, str):
            self._refusals.count("algorithm", f"{header.get('alg')!r:.200}")
            raise Problem("token_invalid")
        key = self._keys.find(kid)
        if key is None:
            self._refusals.count("key", "of none of the project's published keys")
            raise Problem("token_invalid")
        return key, key.algorithm_name


class _Refusals:
    """Counts why tokens are refused, and tells the log once a minute. Safe to share."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._counts = Counter[str]()
        self._details: dict[str, str] = {}
        self._told_at = float("-inf")
        self._lock = threading.Lock()

    def count(self, reason: str, detail: str = "") -> None:
        """Count one; say what there was since the last time, unless that was within the minute.

        That a token has expired happens every day, and is said beside other reasons only.
        """
        metrics.REFUSED_TOKENS.labels(reason).inc()
        with self._lock:
            self._counts[reason] += 1
            self._details[reason] = detail
            now = self._now()
            if reason == "expired" or now - self._told_at < REFUSALS_SECONDS:
                return
            self._told_at = now
            told = [
                f"{reason} {number}" + (f" ({detail})" if (detail := self._details[reason]) else "")
                for reason, number in self._counts.items()
            ]
            self._counts.clear()
        logger.warning("tokens are refused: %s", "; ".join(told))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _seconds_left(claims: Mapping[str, Any], now: float) -> float:
    """For how long a token is still good. Raises jwt.PyJWTError where it is not, or not yet."""
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if max(issued, begins) > now + LEEWAY_SECONDS:
        raise jwt.ImmatureSignatureError
    if expires <= now - LEEWAY_SECONDS:
        raise jwt.ExpiredSignatureError
    return expires - now


def _time(claims: Mapping[str, Any], name: str) -> float:
    """One of a token's times, in seconds since 1970; 0 where it has none."""
    value = claims.get(name, 0)
    if type(value) not in (int, float) or not 0 <= value < 1e12:
        raise jwt.DecodeError(f"{name} is no time")
    return float(value)


class _Remembered:
    """Tokens verified a moment ago: by their hashes, so that no token lies in memory."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._users: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> str | None:
        """The user of a token that is still remembered."""
        user_id, until = self._users.get(digest, ("", 0.0))
        return user_id if user_id and self._now() < until else None

    def put(self, digest: bytes, user_id: str, seconds: float) -> None:
        """Remember a token that is good for so long; the oldest one makes room."""
        until = self._now() + min(seconds, REMEMBERED_SECONDS)
        with self._lock:
            self._users.pop(digest, None)
            self._users[digest] = user_id, until
            if len(self._users) > MAX_REMEMBERED:
                del self._users[next(iter(self._users))]
