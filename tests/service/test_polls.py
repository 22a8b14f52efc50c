"""Polls: answered from Redis, and never wrong for long, whatever Redis has forgotten or kept."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import requests
from actors import PATIENCE, Simulator, User, sweep, until
from flask import request
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.signed_urls import CACHED_SECONDS, SIGNED_SECONDS, SignedUrlCache, dump
from vton.adapters.redis.status_cache import (
    DELETED_SECONDS,
    ENDED_SECONDS,
    MIN_SAMPLES,
    SAMPLES_KEY,
    TYPICAL_KEY,
    UNFINISHED_SECONDS,
    RedisStatusCache,
    status_key,
)
from vton.app import create_app
from vton.tryon.model import SessionState, Status, failed, result_path
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl
from vton.tryon.routes import TAG_SECONDS
from vton.wiring import Services


@pytest.fixture
def calls(stack: Stack) -> Callable[[], int]:
    """How often Supabase was called since the test began, but for the sweep's own calls."""
    panel = f"{stack.settings['SUPABASE_URL']}/_gateway"
    requests.post(f"{panel}/reset", timeout=5).raise_for_status()

    def count() -> int:
        counts: dict[str, int] = requests.get(f"{panel}/calls", timeout=5).json()
        swept = ("erasures", "submits", "idempotency_keys")
        return sum(
            times for call, times in counts.items() if call != "total" and not call.endswith(swept)
        )

    return count


@pytest.fixture
def statuses(stack: Stack, redis: Redis) -> RedisStatusCache:
    """What the service's processes write to."""
    config = Config.from_env(stack.child_environ)
    cache = Cache(redis)
    bucket_url = f"{config.supabase_url}/{config.storage_bucket}"
    return RedisStatusCache(cache, SignedUrlCache(cache, bucket_url))


@pytest.fixture
def typical(redis: Redis) -> Iterator[Redis]:
    """Redis, where no durations are known, before and after."""
    redis.delete(SAMPLES_KEY, TYPICAL_KEY)
    yield redis
    redis.delete(SAMPLES_KEY, TYPICAL_KEY)


def poll(user: User, session_id: str, tag: str = "") -> requests.Response:
    """One poll, as a browser makes it that has polled before."""
    headers = {"If-None-Match": tag} if tag else {}
    return user.call("GET", f"/api/try-on/{session_id}/status", headers=headers)


def forget(redis: Redis, user: User, session_id: str) -> None:
    """Have Redis forget what it knows of a session's status."""
    redis.delete(status_key(user.id, session_id))


def test_while_a_worker_has_it_no_poll_calls_supabase(
    user: User, garment_id: str, simulator: Simulator, calls: Callable[[], int]
) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    before = calls()

    assert {user.status(session_id)["status"] for _ in range(30)} == {"processing"}
    assert {poll(user, session_id, "W/x").status_code for _ in range(10)} == {200}

    # the sweep looks at what is unfinished now and then, and the run records its outcome
    assert calls() - before < 10


def test_a_session_that_redis_has_forgotten_is_found_in_the_database(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    forget(redis, user, session_id)

    assert user.status(session_id)["status"] == "success"
    assert 0 < redis.ttl(status_key(user.id, session_id)) <= ENDED_SECONDS


def test_nothing_is_believed_for_long(
    user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    simulator.change(delay=60)
    running = user.start(garment_id)
    user.wait(running, "processing")
    assert 0 < redis.ttl(status_key(user.id, running)) <= UNFINISHED_SECONDS
    user.call("DELETE", f"/api/try-on/{running}")
    assert 0 < redis.ttl(status_key(user.id, running)) <= DELETED_SECONDS
    simulator.change(delay=0)
    done = user.start(garment_id)
    user.wait(done)
    assert 0 < redis.ttl(status_key(user.id, done)) <= ENDED_SECONDS


def test_another_users_poll_finds_nothing_of_what_is_cached(
    user: User, sign_up: Callable[[], User], garment_id: str, simulator: Simulator
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    assert poll(sign_up(), session_id).json()["code"] == "session_not_found"


STALE = [SessionState(Status.QUEUED), SessionState(Status.PROCESSING, began_at=1.0)]


@pytest.mark.parametrize("end", [SessionState(Status.SUCCESS), failed("provider_failed")])
@pytest.mark.parametrize("stale", STALE)
def test_a_stalled_run_does_not_bring_back_what_was(
    statuses: RedisStatusCache, end: SessionState, stale: SessionState
) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.advance(user_id, session_id, end)

    statuses.advance(user_id, session_id, stale)
    statuses.fill(user_id, session_id, stale)
    statuses.extend_ttl([(user_id, session_id)])

    assert statuses.find(user_id, session_id).state == end


@pytest.mark.parametrize("late", [*STALE, SessionState(Status.SUCCESS), failed("interrupted")])
def test_what_comes_after_a_delete_stays_deleted(
    statuses: RedisStatusCache, late: SessionState
) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.mark_deleted(user_id, session_id)

    statuses.advance(user_id, session_id, late)
    statuses.fill(user_id, session_id, late)

    cached = statuses.find(user_id, session_id)
    assert (cached.state, cached.deleted) == (None, True)


def test_a_reader_that_was_slow_does_not_replace_what_is_newer(statuses: RedisStatusCache) -> None:
    user_id, session_id = str(uuid4()), str(uuid4())
    statuses.advance(user_id, session_id, SessionState(Status.PROCESSING))

    statuses.fill(user_id, session_id, SessionState(Status.QUEUED))

    assert statuses.find(user_id, session_id).state == SessionState(Status.PROCESSING)


def test_the_sweep_extends_what_is_unfinished_and_brings_nothing_back(
    user: User, garment_id: str, simulator: Simulator, redis: Redis, services: Services
) -> None:
    simulator.change(delay=60)
    kept, forgotten = user.start(garment_id), user.start(garment_id)
    for session_id in (kept, forgotten):
        user.wait(session_id, "processing")
    redis.persist(status_key(user.id, kept))  # instead of a few seconds, which might pass
    forget(redis, user, forgotten)

    sweep(services, redis)

    assert 0 < redis.ttl(status_key(user.id, kept)) <= UNFINISHED_SECONDS
    assert not redis.exists(status_key(user.id, forgotten))


# -- the middleware ---------------------------------------------------------------------------

STATES = {
    "queued": SessionState(Status.QUEUED),
    "processing": SessionState(Status.PROCESSING, queued_at=1.0, began_at=2.0),
    "failed": failed("photo_rejected"),
    "success": SessionState(Status.SUCCESS),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("origin", [None, "http://localhost:5173"])
def test_the_middleware_answers_what_the_view_does(
    stack: Stack,
    user: User,
    statuses: RedisStatusCache,
    redis: Redis,
    name: str,
    origin: str | None,
) -> None:
    app = create_app(Config.from_env(stack.child_environ))
    viewed: list[str] = []
    app.before_request(lambda: viewed.append(request.path))
    session_id = str(uuid4())
    statuses.advance(user.id, session_id, STATES[name])
    url = SignedUrl("https://x.supabase.co/sign/a.png?token=t", datetime.now(UTC))
    redis.set(statuses._results.key(result_path(user.id, session_id)), dump(url), ex=20)
    headers = {"Authorization": f"Bearer {user.token}", "X-Request-ID": "mine"}
    headers |= {"Origin": origin} if origin else {}

    def ask(**more: str) -> tuple[int, list[tuple[str, str]], bytes]:
        path = f"/api/try-on/{session_id}/status"
        answer = app.test_client().get(path, headers={**headers, **more})
        return answer.status_code, sorted(answer.headers), answer.data

    by_the_view = ask()
    by_the_middleware = ask()
    tag = dict(by_the_view[1])["ETag"]
    unchanged = ask(**{"If-None-Match": tag})
    app.wsgi_app = app.wsgi_app.app._app  # type: ignore[attr-defined]

    assert len(viewed) == 1
    assert by_the_middleware == by_the_view
    assert unchanged == ask(**{"If-None-Match": tag})
    assert (unchanged[0], len(viewed)) == (304, 2)


def test_the_middleware_gives_each_origin_its_own_headers(
    stack: Stack, user: User, statuses: RedisStatusCache
) -> None:
    """Pages of many origins, by http and https, are served by one process."""
    app = create_app(Config.from_env(stack.child_environ))
    viewed: list[str] = []
    app.before_request(lambda: viewed.append(request.path))
    session_id = str(uuid4())
    statuses.advance(user.id, session_id, failed("photo_rejected"))
    allowed = [None, "http://localhost:5173", "http://127.0.0.1:8080"]
    askers = [(o, s) for o in (*allowed, "https://evil.example") for s in ("http", "https")]

    def ask(origin: str | None, scheme: str) -> tuple[str | None, bool]:
        headers = {"Authorization": f"Bearer {user.token}", "X-Forwarded-Proto": scheme}
        headers |= {"Origin": origin} if origin else {}
        path = f"/api/try-on/{session_id}/status"
        answer = app.test_client().get(path, headers=headers)
        assert answer.status_code == 200
        found = answer.headers
        return found.get("Access-Control-Allow-Origin"), "Strict-Transport-Security" in found

    seen = {asker: [ask(*asker)] for asker in askers}
    asked_once = len(viewed)
    for asker in (*reversed(askers), *askers):
        seen[asker].append(ask(*asker))

    assert seen == {
        (origin, scheme): [(origin if origin in allowed else None, scheme == "https")] * 3
        for origin, scheme in askers
    }
    # Who is not allowed is answered by the view each time, and all others by it once.
    assert (asked_once, len(viewed)) == (8, 8 + 4)


# -- ETag ------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    first = poll(user, session_id)

    again = poll(user, session_id, first.headers["ETag"])

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "private, no-cache"
    assert again.headers["X-Request-ID"]


def test_an_end_changes_the_tag_and_a_new_signature_does_not(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    simulator.change(delay=1)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")
    before = poll(user, session_id).headers["ETag"]
    user.wait(session_id)

    ended = poll(user, session_id, before)
    assert (ended.status_code, ended.json()["data"]["status"]) == (200, "success")
    for key in typical.scan_iter("vton:signed:*"):
        typical.delete(key)
    assert poll(user, session_id, ended.headers["ETag"]).status_code == 304


def test_a_tag_changes_before_the_url_expires() -> None:
    """A URL that is handed out is good for half its life at least; a tag lasts less long."""
    assert TAG_SECONDS < SIGNED_SECONDS - CACHED_SECONDS


def test_an_ended_status_is_answered_from_redis_alone(
    user: User, statuses: RedisStatusCache
) -> None:
    session_id = str(uuid4())  # not even in the database
    statuses.advance(user.id, session_id, failed("photo_rejected"))

    first = poll(user, session_id)

    assert first.json()["data"]["error"]["code"] == "photo_rejected"
    assert poll(user, session_id, first.headers["ETag"]).status_code == 304


# -- etaSeconds ------------------------------------------------------------------------------


def test_an_eta_is_what_the_last_ones_took(
    user: User, statuses: RedisStatusCache, typical: Redis
) -> None:
    session_id = str(uuid4())

    def eta(**times: float) -> int | None:
        typical.delete(status_key(user.id, session_id))
        status = Status.PROCESSING if "began_at" in times else Status.QUEUED
        statuses.advance(user.id, session_id, SessionState(status, **times))
        found: int | None = poll(user, session_id).json()["data"]["etaSeconds"]
        return found

    samples = [(100, 3000), (200, 4000), (9999, 5000), (300, 2000), (400, 9999)]
    for count, (wait, run) in enumerate(samples):
        assert (count, eta(queued_at=time.time())) == (count, None)
        statuses.record_durations(TypicalDurations(wait, run))
    assert count + 1 == MIN_SAMPLES

    now = time.time()  # a poll may take a while: the medians are 300 s of waiting, 4000 of running
    # The service goes by the database's clock, which it knows to some milliseconds.
    assert 4300 - PATIENCE < (eta(queued_at=now) or 0) <= 4301
    assert 3000 - PATIENCE < (eta(queued_at=now - 9000, began_at=now - 1000) or 0) <= 3001
    assert eta(queued_at=now - 6000, began_at=now - 5000) is None  # it takes longer
    typical.delete(status_key(user.id, session_id))
    statuses.advance(user.id, session_id, SessionState(Status.SUCCESS, queued_at=time.time()))
    assert poll(user, session_id).json()["data"]["etaSeconds"] is None


def test_durations_are_measured(
    user: User, garment_id: str, simulator: Simulator, typical: Redis
) -> None:
    delay, began = 3, time.monotonic()
    simulator.change(delay=delay)
    with ThreadPoolExecutor(MIN_SAMPLES) as threads:
        started = list(threads.map(lambda _: user.start(garment_id), range(MIN_SAMPLES)))
    for session_id in started:
        user.wait(session_id)
    samples = until(
        lambda: len(found := typical.lrange(SAMPLES_KEY, 0, -1)) == MIN_SAMPLES and found
    )
    lasted = time.monotonic() - began

    first = user.status(user.start(garment_id))

    assert first["status"] in ("queued", "processing")
    assert 1 <= first["etaSeconds"] <= lasted + 1
    for waited, ran in map(json.loads, samples):
        assert 0 <= waited <= lasted
        assert delay <= ran <= lasted
    assert typical.exists(TYPICAL_KEY)


@pytest.mark.parametrize("rubbish", [b"2", b"2[]", b"x", b'2["waiting",null,null,null,null]'])
def test_an_entry_that_cannot_be_read_is_no_answer(
    user: User, garment_id: str, simulator: Simulator, redis: Redis, rubbish: bytes
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    redis.set(status_key(user.id, session_id), rubbish, ex=5)

    assert poll(user, session_id).json()["data"]["status"] == "success"
