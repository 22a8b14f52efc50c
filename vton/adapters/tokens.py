"""Supabase access tokens: ES256 or RS256 by the project's published keys, HS256 by its secret.

https://supabase.com/docs/guides/auth/signing-keys: the keys stand at
`{SUPABASE_URL}/auth/v1/.well-known/jwks.json`, may be cached for ten minutes, and both the
old and the new one are valid during a rotation. Projects that never migrated sign with one
HS256 secret and publish an empty set.
"""

import logging
import threading
import time
from uuid import UUID

import jwt
import requests

from vton.errors import Problem

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 600
"""How long published keys are used before they are fetched again."""
LAST_GOOD_SECONDS = 24 * 3600
"""How long the last good keys serve while fetching fails."""
COOLDOWN_SECONDS = 30
"""How long a failed or fruitless fetch is not repeated, whatever key ids are asked for."""
FETCH_TIMEOUT = (2.0, 3.0)
"""Seconds to connect, and to wait for the answer."""
_ALGORITHMS = {"EC": "ES256", "RSA": "RS256"}


class KeySet:
    """The project's published keys, by key id. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key called `kid`, or None where the project has none of that name.

        Raises Problem `keys_unavailable` when that cannot be known.
        """
        if kid not in self._keys or self._age() > REFRESH_SECONDS:
            self._refresh(wait=kid not in self._keys)
        if self._age() > LAST_GOOD_SECONDS:
            raise Problem("keys_unavailable", retry_after=COOLDOWN_SECONDS)
        key = self._keys.get(kid)
        if key is None and self._tried > self._fetched:
            raise Problem("keys_unavailable", retry_after=COOLDOWN_SECONDS)
        return key

    def _age(self) -> float:
        return time.monotonic() - self._fetched

    def _refresh(self, *, wait: bool) -> None:
        """Fetch the keys, one thread at a time, and not again within the cooldown."""
        if not self._lock.acquire(blocking=wait, timeout=sum(FETCH_TIMEOUT) if wait else -1):
            return
        try:
            if time.monotonic() - max(self._tried, self._fetched) < COOLDOWN_SECONDS:
                return
            self._tried = time.monotonic()
            self._keys = self._fetch()
            self._fetched = time.monotonic()
        except (requests.RequestException, ValueError, KeyError, jwt.PyJWTError) as error:
            logger.warning("the sign-in keys could not be fetched: %s", type(error).__name__)
        finally:
            self._lock.release()

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        response = requests.get(self._url, timeout=FETCH_TIMEOUT)
        response.raise_for_status()
        return {
            key["kid"]: jwt.PyJWK(key, algorithm=_ALGORITHMS[key["kty"]])
            for key in response.json()["keys"]
            if key.get("kty") in _ALGORITHMS and "kid" in key
        }


class SupabaseTokens:
    """Verifies the access tokens of one Supabase project. Safe to share between threads."""

    def __init__(self, supabase_url: str, jwt_secret: str = "") -> None:
        self._issuer = f"{supabase_url}/auth/v1"
        self._keys = KeySet(f"{self._issuer}/.well-known/jwks.json")
        self._secret = jwt_secret

    def verify(self, token: str) -> str:
        """Return the user id (`sub`, a UUID) of an access token.

        Raises Problem `token_expired`, `token_invalid`, or `keys_unavailable`.
        """
        try:
            key, algorithm = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience="authenticated",
                issuer=self._issuer,
                leeway=5,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
            if claims.get("role") != "authenticated":
                raise Problem("token_invalid")
            return str(UUID(claims["sub"]))
        except jwt.ExpiredSignatureError:
            raise Problem("token_expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise Problem("token_invalid") from None

    def _key_for(self, header: dict[str, object]) -> tuple[jwt.PyJWK | str, str]:
        """The key and the one algorithm it is good for.

        The token only says which of our keys it names. A published key is never used as an
        HMAC secret, nor the secret for anything else.
        """
        if header.get("alg") == "HS256":
            if not self._secret:
                raise Problem("token_invalid")
            return self._secret, "HS256"
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise Problem("token_invalid")
        key = self._keys.find(kid)
        if key is None:
            raise Problem("token_invalid")
        return key, key.algorithm_name
