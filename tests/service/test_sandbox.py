"""The sandbox: garments whose try-ons each end in their own way, and what a curl does."""

from collections.abc import Callable
from typing import Any

import jwt
import psycopg
import pytest
import requests
from actors import Simulator, User, end_all_runs, jpeg, until
from redis import Redis

from devstack.pixazo.states import STATES, draw_garments
from devstack.stack import Stack
from vton.adapters.redis.circuit_breaker import PAUSED_KEY

ENDS = {
    "Fails": "provider_failed",
    "Photo refused": "photo_rejected",
    "Gets lost": "provider_uncertain",
    "No picture": "result_unusable",
}


@pytest.fixture(scope="session")
def states(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The garments by name, imported as `make run` imports them."""
    folder = tmp_path_factory.mktemp("states")
    draw_garments(folder)
    done = stack.run_flask("garments", "import", str(folder))
    assert done.returncode == 0, done.stdout
    listed = requests.get(f"{stack.web_url}/api/garments?category=states", timeout=10).json()
    return {garment["name"]: garment["id"] for garment in listed["data"]}


@pytest.mark.parametrize("name", ENDS)
def test_a_try_on_of_a_state_ends_that_way(
    user: User, states: dict[str, str], simulator: Simulator, name: str
) -> None:
    status = user.wait(user.start(states[name]))

    assert (status["status"], status["error"]["code"]) == ("failed", ENDS[name])


def test_one_takes_its_time(user: User, states: dict[str, str], simulator: Simulator) -> None:
    session_id = user.start(states["Takes a minute"])

    assert user.wait(session_id, "processing")["status"] == "processing"
    user.call("DELETE", f"/api/try-on/{session_id}")
    assert next(state.delay for state in STATES if state.name == "Takes a minute") == 60


def test_a_provider_that_is_away_pauses_all_until_a_reset(
    user: User,
    states: dict[str, str],
    garment_id: str,
    simulator: Simulator,
    redis: Redis,
    database: psycopg.Connection[Any],
) -> None:
    waiting = user.start(states["Provider away"])
    form = {"files": {"userImage": ("a.jpg", jpeg())}, "data": {"garmentId": garment_id}}

    # Not by asking: a try-on that is accepted meanwhile ends the pause.
    until(lambda: redis.exists(PAUSED_KEY))
    refused = user.call("POST", "/api/try-on", **form)

    assert (refused.status_code, refused.json()["code"]) == (503, "provider_paused")
    user.call("DELETE", f"/api/try-on/{waiting}")
    end_all_runs(redis, database)
    simulator.reset()

    assert user.wait(user.start(garment_id))["status"] == "success"


def test_tokens_expire_as_soon_as_is_asked_for(stack: Stack, sign_up: Callable[[], User]) -> None:
    panel = f"{stack.child_environ['SUPABASE_URL']}/_gateway"
    requests.put(f"{panel}/settings", json={"token_seconds": 1}, timeout=5).raise_for_status()
    user = sign_up()
    requests.post(f"{panel}/reset", timeout=5).raise_for_status()

    claims = jwt.decode(user.token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 1


def test_a_quota_is_used_up_and_given_back(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    panel = f"{stack.child_environ['SUPABASE_URL']}/_gateway"
    row = database.execute("select email from auth.users where id = %s", [user.id]).fetchone()
    assert row is not None
    asked = {"email": row[0], "times": 48}

    def tried() -> int:
        found = database.execute("select tried_today(%s)", [user.id]).fetchone()
        assert found is not None
        return int(found[0])

    paid = database.execute("select paid_today()").fetchone()
    requests.post(f"{panel}/used", json=asked, timeout=5).raise_for_status()
    assert tried() == 48
    assert database.execute("select paid_today()").fetchone() == paid

    requests.post(f"{panel}/reset", timeout=5).raise_for_status()
    assert tried() == 0


@pytest.mark.parametrize("wrong", [{}, {"email": 1, "times": 1}, {"email": "a", "times": 0}])
def test_a_wrong_wish_is_refused(stack: Stack, wrong: dict[str, Any]) -> None:
    panel = f"{stack.child_environ['SUPABASE_URL']}/_gateway"

    assert requests.post(f"{panel}/used", json=wrong, timeout=5).status_code == 400
    settings = requests.put(f"{panel}/settings", json={"token_seconds": 0}, timeout=5)
    assert settings.status_code == 400
