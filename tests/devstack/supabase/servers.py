"""What the tests of the gateway run against, and how they wait for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from supabase import Client, ClientOptions, create_client

from devstack.supabase.keys import Keys

JS = Path(__file__).parents[1] / "js"
PASSWORD = "correct horse"
LIBRARY = {"authors": "*", "books": "*", "notes": "body, user_id", "secrets": "*"}


@dataclass
class Servers:
    """One project and how to reach it."""

    database_url: str
    url: str
    keys: Keys
    data: Path

    def client(self, key: str) -> Client:
        """A Supabase client that starts nothing in the background."""
        options = ClientOptions(auto_refresh_token=False, persist_session=False)
        return create_client(self.url, key, options)


@dataclass
class User:
    """Somebody who signed in."""

    id: str
    email: str
    token: str
    client: Client


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Poll until something is so; fails after a while."""
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come up"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False
