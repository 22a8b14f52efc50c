"""Keys are changed while try-ons are under way, as docs/operations.md says: nothing is lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import jwt
import psycopg
import pytest
import requests
from actors import Simulator, User, run_command, until

from devstack.stack import Stack

KEY = "SUPABASE_SERVICE_ROLE_KEY"
NEW = {
    "secret": "sb_secret_the-next-one-of-this-project",
    "legacy": jwt.encode({"role": "service_role", "iss": "supabase"}, "s" * 32, "HS256"),
}


def restart(stack: Stack) -> None:
    """Start web and worker anew, one after the other, as a deploy does."""
    for name in ("worker", "web"):
        stack.end_process(name, signal.SIGTERM)
        stack.start_process(name)

    def answers() -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{stack.web_url}/health/service", timeout=5).ok
        return False

    until(answers)


@pytest.fixture
def taken(stack: Stack) -> Iterator[Callable[..., None]]:
    """Say which secret keys the project takes; afterwards all is as it was."""
    own, panel = stack.settings[KEY], f"{stack.settings['SUPABASE_URL']}/_gateway/settings"

    def take(*keys: str) -> None:
        requests.put(panel, json={"secret_keys": keys}, timeout=5).raise_for_status()

    yield take
    take()
    stack.settings[KEY] = own
    restart(stack)


@pytest.mark.parametrize("kind", NEW)
def test_supabases_secret_key_is_changed_without_a_loss(
    stack: Stack, user: User, garment_id: str, simulator: Simulator,
    database: psycopg.Connection[Any], taken: Callable[..., None], kind: str,
) -> None:  # fmt: skip
    simulator.change(delay=4)
    running = user.start(garment_id)
    until(lambda: simulator.stats()["accepted"] == 1)
    old, new = stack.settings[KEY], NEW[kind]

    taken(old, new)
    stack.settings[KEY] = new
    assert "takes the service key" in run_command(stack, "keys", "check")
    restart(stack)
    taken(new)

    assert user.wait(running)["status"] == "success"
    simulator.change(delay=0)
    assert user.wait(user.start(garment_id))["status"] == "success"
    paid = "select count(*) from submits where session_id = %s"
    assert database.execute(paid, [running]).fetchone() == (1,)


def test_a_key_that_was_revoked_too_early_is_said(
    stack: Stack, user: User, taken: Callable[..., None]
) -> None:
    taken("sb_secret_another")

    assert user.call("GET", "/api/try-on/history").status_code == 503

    until(
        lambda: any(
            "ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY" in line
            for line in stack.output("web")
        )
    )
    found = run_command(stack, "keys", "check", status=1)
    assert "FAIL  SUPABASE_URL: Supabase refuses SUPABASE_SERVICE_ROLE_KEY" in found
