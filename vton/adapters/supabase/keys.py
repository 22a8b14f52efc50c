"""The keys that a Supabase project publishes, fetched behind the requests' backs.

https://supabase.com/docs/guides/auth/signing-keys: they stand at
`{SUPABASE_URL}/auth/v1/.well-known/jwks.json`, may be cached for ten minutes, and both the
old and the new one are valid during a rotation.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from vton.adapters.http.client import HttpClient
from vton.errors import Problem

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 600
"""How long published keys are used before they are fetched again."""
LAST_GOOD_SECONDS = 24 * 3600
"""How long the last good keys serve while fetching fails."""
COOLDOWN_SECONDS = 30
"""How long after one fetch there is no other, whatever key ids are asked for."""
CONNECT_SECONDS = 2.0
FETCH_SECONDS = 2.5
"""How long a fetch lasts, and how long the one request that began it waits for it."""
OTHERS_SECONDS = 0.5
"""How long the requests wait that come while somebody else's fetch is under way."""
MAX_KEYS_BYTES = 256 * 1024

Clock = Callable[[], float]
Fetch = Callable[[], Mapping[str, Any]]
"""Returns the published key set; raises requests.RequestException or ValueError."""
Spawn = Callable[[Callable[[], None]], None]
"""Has something done while the caller goes on."""


def fetch_from(url: str) -> Fetch:
    """Return what fetches a project's key set, in bounds."""
    http = HttpClient(1)

    def fetch() -> Mapping[str, Any]:
        answer = http.ask(
            "GET", url, headers={}, connect=CONNECT_SECONDS, seconds=FETCH_SECONDS,
            limit=MAX_KEYS_BYTES,
        )  # fmt: skip
        if answer.status != 200:
            raise requests.RequestException(f"status {answer.status}")
        return answer.json()

    return fetch


def _in_a_thread(work: Callable[[], None]) -> None:
    """A greenlet under gunicorn's gevent worker, which replaces threads."""
    threading.Thread(target=work, name="keys", daemon=True).start()


@dataclass(frozen=True, slots=True)
class _Published:
    """A key set, and when it was fetched."""

    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    at: float = float("-inf")


class KeySet:
    """The project's published keys, by key id. Safe to share between threads.

    A key that is known is given at once; the set is fetched again behind the request's back.
    Only for a key id never seen is a fetch waited for, and only one is under way at a time.
    """

    def __init__(
        self,
        fetch: Fetch,
        now: Clock = time.monotonic,
        spawn: Spawn = _in_a_thread,
        patience: float = FETCH_SECONDS,
    ) -> None:
        self._fetch, self._now, self._spawn, self._patience = fetch, now, spawn, patience
        self._published = _Published()
        self._tried = float("-inf")
        self._failed = False
        self._done = threading.Event()  # that of the last fetch
        self._done.set()
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key called `kid`, or None where the project has none of that name.

        Raises Problem `keys_unavailable` when that cannot be known.
        """
        age = self._now() - self._published.at
        if kid not in self._published.keys or age > REFRESH_SECONDS:
            self._refresh(wait=kid not in self._published.keys or self._slept(age))
        published = self._published
        if self._now() - published.at > LAST_GOOD_SECONDS:
            raise Problem("keys_unavailable", retry_after=COOLDOWN_SECONDS)
        key = published.keys.get(kid)
        if key is None and (self._failed or not self._done.is_set()):
            raise Problem("keys_unavailable", retry_after=COOLDOWN_SECONDS)
        return key

    def _slept(self, age: float) -> bool:
        """Whether nobody has asked for so long that a key may have been withdrawn since."""
        return age > 2 * REFRESH_SECONDS and self._now() - self._tried > REFRESH_SECONDS

    def _refresh(self, *, wait: bool) -> None:
        """Fetch the keys unless that was done within the cooldown; wait for it if asked to."""
        with self._lock:
            begin = self._done.is_set() and self._now() - self._tried >= COOLDOWN_SECONDS
            if begin:
                self._tried = self._now()
                self._done = threading.Event()
            done = self._done
        if begin:
            self._spawn(self._publish)
        if wait:
            done.wait(self._patience if begin else min(self._patience, OTHERS_SECONDS))

    def _publish(self) -> None:
        """Fetch the keys; those of before stay where that fails."""
        try:
            self._published = _Published(read_keys(self._fetch()), self._now())
            self._failed = False
        except Exception as error:  # whatever it is, the next fetch must not wait for this one
            self._failed = True
            logger.warning("the sign-in keys could not be fetched: %s", type(error).__name__)
        finally:
            self._done.set()


def read_keys(published: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the keys of a set that may sign tokens. Raises ValueError where it is no set."""
    listed = published.get("keys")
    if not isinstance(listed, list):
        raise ValueError("no key set")
    found: dict[str, jwt.PyJWK] = {}
    for key in listed:
        algorithm = _algorithm(key) if isinstance(key, dict) else None
        if algorithm is None:
            continue
        try:
            found[key["kid"]] = jwt.PyJWK(key, algorithm=algorithm)
        except jwt.PyJWTError as error:
            logger.warning("a sign-in key cannot be read: %s", type(error).__name__)
    return found


def _algorithm(key: Mapping[str, Any]) -> str | None:
    """The one algorithm that a published key is good for here, if any."""
    family = f"{key.get('kty')} {key.get('crv', '')}".strip()
    algorithm = {"EC P-256": "ES256", "RSA": "RS256"}.get(family)
    fits = key.get("alg") in (None, algorithm) and key.get("use") in (None, "sig")
    return algorithm if fits and isinstance(key.get("kid"), str) else None
