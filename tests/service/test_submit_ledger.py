"""The ledger: what was submitted, what was paid for, and who may submit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from actors import Simulator, User, jpeg, pay, until, upload, wait_out_midnight
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.circuit_breaker import PAUSED_KEY, PROBE_KEY, TRIPPED_KEY, TRIPPED_SECONDS
from vton.adapters.redis.queue import Liveness
from vton.app import create_app
from vton.tryon.model import ProviderTask
from vton.tryon.ports.database import ClaimResult, Outcome
from vton.wiring import connect

Database = psycopg.Connection[Any]


def ledger_of(database: Database, session_id: str) -> list[tuple[Any, ...]]:
    """What the ledger says of a session, oldest first."""
    return database.execute(
        "select outcome, charged from submits where session_id = %s order by at", [session_id]
    ).fetchall()


@pytest.fixture
def processing(database: Database, redis: Redis, user: User) -> Callable[[], str]:
    """Make a session that is processing; Redis says that it has a run, so the sweep leaves it."""

    def make() -> str:
        session_id = str(uuid4())
        Liveness(redis).keep([session_id])
        database.execute(
            "insert into try_on_history (id, user_id, status, original_user_image_url)"
            " values (%s, %s, 'processing', 'user-uploads/' || %s || '/' || %s || '_original.jpg')",
            [session_id, user.id, user.id, uuid4().int % 10**15],
        )
        return session_id

    return make


@pytest.fixture(autouse=True)
def _nothing_is_left(database: Database, redis: Redis) -> Any:
    yield
    database.execute("delete from try_on_history where status in ('queued', 'processing')")


def test_a_submit_is_in_the_ledger_and_outlives_its_session(
    user: User, garment_id: str, database: Database, simulator: Simulator
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    user.call("DELETE", f"/api/try-on/{session_id}")

    row = database.execute(
        "select user_id::text, outcome, task_id, charged from submits where session_id = %s",
        [session_id],
    ).fetchone()
    assert row == (user.id, "accepted", simulator.submits()[0]["request_id"], None)


@pytest.mark.parametrize(
    ("fault", "entries"),
    [
        ({"kind": "http", "status": 503}, [("not_accepted", None), ("accepted", None)]),
        ({"kind": "http", "status": 401}, [("not_accepted", None)]),
        ({"kind": "cut"}, [("uncertain", None)]),
        ({"kind": "http", "status": 500, "accept": True}, [("uncertain", None)]),
        ({"kind": "failed"}, [("accepted", None)]),
        ({"kind": "error"}, [("accepted", False), ("accepted", None)]),
    ],
)
def test_each_outcome_is_in_the_ledger(
    user: User,
    garment_id: str,
    database: Database,
    simulator: Simulator,
    fault: dict[str, Any],
    entries: list[tuple[Any, ...]],
) -> None:
    simulator.change(faults=[{"at": "submit", **fault}])
    session_id = user.start(garment_id)
    user.wait(session_id)

    assert ledger_of(database, session_id) == entries


def test_one_attempt_at_a_time_has_the_claim(stack: Stack, processing: Callable[[], str]) -> None:
    ledger = connect(Config.from_env(stack.child_environ)).runner.ledger
    session_id, first, second = processing(), str(uuid4()), str(uuid4())

    def answer(attempt: str) -> ClaimResult:
        return ledger.claim_submit(session_id, attempt, 0).result

    assert answer(first) is ClaimResult.CLAIMED
    assert answer(first) is ClaimResult.CLAIMED  # the answer may have been lost
    assert answer(second) is ClaimResult.HELD
    ledger.record_outcome(first, Outcome.NOT_ACCEPTED)
    assert answer(second) is ClaimResult.CLAIMED
    ledger.record_outcome(first, Outcome.NOT_ACCEPTED)  # late, and once more
    assert answer(first) is ClaimResult.HELD
    ledger.record_outcome(
        second, Outcome.ACCEPTED, ProviderTask("pixazo", "t1", "https://example.com/t1")
    )
    assert answer(first) is ClaimResult.TASK
    assert ledger.allow_one_resubmit(session_id, "t1")
    third = str(uuid4())
    assert answer(third) is ClaimResult.CLAIMED
    ledger.record_outcome(third, Outcome.ACCEPTED, ProviderTask("pixazo", "t2", None))
    assert not ledger.allow_one_resubmit(session_id, "t2")
    assert answer(str(uuid4())) is ClaimResult.TASK


def test_an_accepted_submit_that_was_thought_uncertain_is_set_right(
    stack: Stack, processing: Callable[[], str], database: Database
) -> None:
    ledger = connect(Config.from_env(stack.child_environ)).runner.ledger
    session_id, attempt = processing(), str(uuid4())
    ledger.claim_submit(session_id, attempt, 0)
    database.execute("update submits set at = at - interval '2 min' where attempt = %s", [attempt])
    services = connect(Config.from_env(stack.child_environ))
    services.sweep.mark_stale_submits()
    assert ledger_of(database, session_id) == [("uncertain", None)]

    ledger.record_outcome(attempt, Outcome.ACCEPTED, ProviderTask("pixazo", "late", None))

    assert ledger_of(database, session_id) == [("accepted", None)]


def test_the_days_cap_is_exact_however_many_ask_at_once(
    stack: Stack, processing: Callable[[], str], database: Database
) -> None:
    ledger = connect(Config.from_env(stack.child_environ)).runner.ledger
    sessions = [processing() for _ in range(200)]
    pay(database)  # one at least that is counted
    wait_out_midnight()
    paid = database.execute("select paid_today()").fetchone()
    assert paid is not None
    cap = paid[0] + 7

    with ThreadPoolExecutor(50) as threads:
        claims = list(
            threads.map(lambda s: ledger.claim_submit(s, str(uuid4()), cap).result, sessions)
        )

    assert claims.count(ClaimResult.CLAIMED) == 7
    assert claims.count(ClaimResult.CAPPED) == 193


def test_new_try_ons_are_refused_once_the_cap_is_reached(
    stack: Stack, user: User, garment_id: str, database: Database
) -> None:
    pay(database)
    capped = {**stack.child_environ, "MAX_PAID_PER_DAY": "1"}
    client = create_app(Config.from_env(capped)).test_client()
    response = client.post(
        "/api/try-on",
        data=upload(jpeg(), garment_id),
        headers={"Authorization": f"Bearer {user.token}"},
    )

    assert response.status_code == 503
    assert response.get_json()["code"] == "paid_cap_reached"
    assert 0 < int(response.headers["Retry-After"]) <= 86_401


def test_no_money_pauses_all_submits_and_one_finds_out_when_it_is_back(
    user: User, garment_id: str, simulator: Simulator, redis: Redis, database: Database
) -> None:
    sessions: list[str] = []

    def all_wait() -> bool:
        submitting = database.execute(
            "select 1 from submits where outcome = 'open' and session_id = any(%s::uuid[])",
            [sessions],
        )
        return not submitting.fetchall() and bool(redis.exists(PAUSED_KEY))

    simulator.change(faults=[{"at": "submit", "kind": "http", "status": 402, "times": None}])
    sessions.append(user.start(garment_id))
    until(all_wait)

    refused = user.call(
        "POST", "/api/try-on", files={"userImage": ("a.jpg", b"x")}, data={"garmentId": garment_id}
    )
    assert refused.status_code == 503
    assert refused.json()["code"] == "provider_paused"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert user.status(sessions[0])["status"] == "processing"
    assert 0 < redis.ttl(TRIPPED_KEY) <= TRIPPED_SECONDS  # nothing in Redis is for ever

    redis.set(PROBE_KEY, 1)  # more arrive after a minute, while one is finding out
    redis.delete(PAUSED_KEY)
    sessions += [user.start(garment_id) for _ in range(3)]
    assert {user.wait(s, "processing")["status"] for s in sessions} == {"processing"}
    refusals = len(simulator.submits())
    redis.delete(PROBE_KEY)
    until(all_wait)
    assert len(simulator.submits()) == refusals + 1

    simulator.change(faults=[])
    redis.delete(PAUSED_KEY)  # another minute: the wallet is full again
    assert {user.wait(s)["status"] for s in sessions} == {"success"}
    assert not redis.exists(TRIPPED_KEY, PAUSED_KEY, PROBE_KEY)
    assert len(simulator.submits()) == refusals + 1 + 4


def test_a_wrong_key_fails_fast_and_tells_the_operator(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "http", "status": 401}])

    status = user.wait(user.start(garment_id))

    assert status["error"]["code"] == "provider_unavailable"
    alarms = [line for line in stack.output("worker") if " ERROR " in line and "ALARM" in line]
    assert alarms
    assert "401" in alarms[-1]
