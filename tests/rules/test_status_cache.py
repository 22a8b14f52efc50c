"""What polls are answered from: who has got further stays, and nothing is believed for long."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis

from vton.adapters.redis.cache import AWAY_SECONDS, Cache
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.redis.status_cache import (
    MIN_SAMPLES,
    SAMPLES,
    SAMPLES_KEY,
    TYPICAL_KEY,
    TYPICAL_SECONDS,
    RedisStatusCache,
    dump,
    status_key,
)
from vton.tryon.model import SessionState, Status, failed, result_path
from vton.tryon.ports.queue import CachedStatus, TypicalDurations
from vton.tryon.ports.storage import SignedUrl
from vton.tryon.service import LOOKUP_SECONDS

USER, SESSION = "user", "session"
KEY = status_key(USER, SESSION)
NOTHING = CachedStatus(None, False, None, None)
DELETED = "deleted"
STATES: dict[str, SessionState] = {
    "queued": SessionState(Status.QUEUED, queued_at=1.5),
    "processing": SessionState(Status.PROCESSING, queued_at=1.5, began_at=2.5),
    "success": SessionState(Status.SUCCESS, queued_at=1.5, began_at=2.5),
    "failed": failed("photo_rejected"),
}
LIVES = {"queued": 15, "processing": 15, "success": 15, "failed": 15, DELETED: 60}
FOUND_LIVES = {"queued": 5, "processing": 5, "success": 15, "failed": 15}
RANKS = {"queued": 1, "processing": 2, "success": 3, "failed": 3, DELETED: 4}


class Polls:
    """The cache, and the Redis that it is in."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis: Redis = FakeStrictRedis(server=self.server)
        self.cache = Cache(self.redis)
        self.results = SignedUrlCache(self.cache, "https://a.supabase.co/try-on")
        self.statuses = RedisStatusCache(self.cache, self.results)

    def say(self, name: str) -> None:
        """Say what the session has become."""
        if name == DELETED:
            self.statuses.mark_deleted(USER, SESSION)
        else:
            self.statuses.advance(USER, SESSION, STATES[name])

    def found(self) -> str | None:
        """What a poll would be told."""
        found = self.statuses.find(USER, SESSION)
        if found.deleted:
            assert found.state is None
            return DELETED
        return next((name for name, state in STATES.items() if state == found.state), None)

    def lives(self, key: str = KEY) -> float:
        """How many seconds an entry still lives."""
        return self.redis.pttl(key) / 1000

    def go_away(self) -> None:
        """Have Redis be away, as somebody has noticed."""
        self.server.connected = False
        self.statuses.find(USER, SESSION)

    def come_back(self) -> None:
        """Have Redis be there again, within the time in which it is not asked."""
        self.server.connected = True


@pytest.fixture
def polls() -> Polls:
    """A cache of this test's own."""
    return Polls()


# -- ranks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", RANKS)
@pytest.mark.parametrize("later", RANKS)
def test_nothing_is_replaced_by_what_was_before_it(polls: Polls, earlier: str, later: str) -> None:
    polls.say(earlier)
    polls.redis.pexpire(KEY, 1_000_000)

    polls.say(later)

    wins = RANKS[later] >= RANKS[earlier]
    assert polls.found() == (later if wins else earlier)
    seconds = LIVES[later] if wins else 1000.0
    assert seconds - 1 < polls.lives() <= seconds


@pytest.mark.parametrize("earlier", RANKS)
@pytest.mark.parametrize("later", STATES)
def test_what_a_reader_found_replaces_only_what_was_before_it(
    polls: Polls, earlier: str, later: str
) -> None:
    polls.say(earlier)

    told = polls.statuses.fill(USER, SESSION, STATES[later])

    wins = RANKS[later] > RANKS[earlier]
    seconds = FOUND_LIVES[later] if wins else LIVES[earlier]
    assert polls.found() == (later if wins else earlier)
    assert seconds - 1 < polls.lives() <= seconds
    assert told == (STATES[later] if wins else STATES.get(earlier)), "what is known now"


@pytest.mark.parametrize("name", RANKS)
def test_an_entry_lives_as_long_as_it_may_be_believed(polls: Polls, name: str) -> None:
    polls.say(name)

    assert polls.found() == name
    assert LIVES[name] - 1 < polls.lives() <= LIVES[name]


@pytest.mark.parametrize("name", STATES)
def test_what_a_reader_found_unfinished_is_believed_for_five_seconds(
    polls: Polls, name: str
) -> None:
    assert polls.statuses.fill(USER, SESSION, STATES[name]) == STATES[name]

    assert polls.found() == name
    assert FOUND_LIVES[name] - 1 < polls.lives() <= FOUND_LIVES[name]


def test_a_reader_without_redis_believes_what_it_found(polls: Polls) -> None:
    polls.go_away()

    assert polls.statuses.fill(USER, SESSION, STATES["queued"]) == STATES["queued"]


@pytest.mark.parametrize("first", STATES)
@pytest.mark.parametrize("later", RANKS)
def test_who_knows_better_replaces_what_a_reader_found(
    polls: Polls, first: str, later: str
) -> None:
    polls.statuses.fill(USER, SESSION, STATES[first])

    polls.say(later)

    assert polls.found() == (later if RANKS[later] >= RANKS[first] else first)


@pytest.mark.parametrize("name", RANKS)
def test_an_entry_is_its_users_and_its_sessions(polls: Polls, name: str) -> None:
    polls.say(name)

    assert polls.statuses.find("other", SESSION) == NOTHING
    assert polls.statuses.find(USER, "other") == NOTHING
    polls.statuses.advance("other", SESSION, STATES["queued"])
    polls.statuses.mark_deleted(USER, "other")
    assert polls.found() == name


# -- what the sweep extends --------------------------------------------------------------------


def test_what_is_unfinished_is_extended(polls: Polls) -> None:
    sessions = [("a", "1"), ("a", "2"), ("b", "1")]
    for user_id, session_id in sessions:
        polls.statuses.advance(user_id, session_id, STATES["processing"])
        polls.redis.expire(status_key(user_id, session_id), 2)

    polls.statuses.extend_ttl(sessions[:2])

    lives = [polls.lives(status_key(*session)) for session in sessions]
    assert 14 < lives[0] <= 15
    assert 14 < lives[1] <= 15
    assert lives[2] <= 2


def test_extending_brings_nothing_back(polls: Polls) -> None:
    polls.statuses.extend_ttl([(USER, SESSION), ("other", "one")])

    assert polls.redis.keys() == []
    assert polls.statuses.find(USER, SESSION) == NOTHING


def test_extending_nothing_is_nothing(polls: Polls) -> None:
    polls.statuses.extend_ttl([])

    polls.say("queued")
    assert polls.found() == "queued"


# -- what cannot be read -----------------------------------------------------------------------


def test_an_entry_of_the_release_before_is_read(polls: Polls) -> None:
    polls.redis.set(KEY, b'2["failed", "busy", "Too many.", 1.5, 2.5]', ex=9)

    assert polls.statuses.find(USER, SESSION).state == SessionState(Status.FAILED, "busy", 1.5, 2.5)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"2",
        b"x",
        b"4 ",
        b"44",
        b"2[]",
        b"2{}",
        b"2null",
        b"27",
        b"2\xff\xfe",
        b'2["processing"]',
        b'2["processing", null, null, 1.5, 2.5, "of another version"]',
        b'2["processing", null, 1.5]',
        b'2["waiting", null, null, null]',
        b"2[null, null, null, null]",
        b"2[[], {}, null, null]",
        b'2{"status": "processing"}',
        b'["processing", null, null, null]',
    ],
)
def test_an_entry_that_cannot_be_read_is_none(polls: Polls, entry: bytes) -> None:
    polls.redis.set(KEY, entry, ex=9)

    assert polls.statuses.find(USER, SESSION) == NOTHING


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_stored_whole(polls: Polls, name: str) -> None:
    entry = dump(STATES[name])

    assert entry[:1] == str(RANKS[name]).encode()
    state = STATES[name]
    assert json.loads(entry[1:]) == [
        state.status, state.error_code, state.queued_at, state.began_at
    ]  # fmt: skip


# -- the result and how long it takes ----------------------------------------------------------

URL = SignedUrl("https://a.supabase.co/sign/r.png?token=t", datetime(2026, 11, 27, tzinfo=UTC))


def test_a_results_url_is_found_with_the_status(polls: Polls) -> None:
    polls.say("success")
    polls.results.remember({result_path(USER, SESSION): URL})

    assert polls.statuses.find(USER, SESSION) == CachedStatus(STATES["success"], False, URL, None)
    assert polls.statuses.find(USER, "other") == NOTHING
    assert polls.statuses.find("other", SESSION) == NOTHING


def test_all_is_found_in_one_round_trip(polls: Polls) -> None:
    polls.say("success")
    asked: list[list[str]] = []

    class Counting:
        """Notes what is sent in one go."""

        def __init__(self, connection: Any) -> None:
            self.connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self.connection, name)

        def pack_commands(self, commands: list[tuple[str, ...]]) -> Any:
            asked.append([name for name, *_ in commands])
            return self.connection.pack_commands(commands)

    polls.statuses.find(USER, SESSION)
    shared = polls.cache._values
    shared._connection = Counting(shared._connection)  # type: ignore[assignment]
    polls.statuses.find(USER, SESSION)

    assert asked == [["MGET", "UNLINK"]]


def test_the_typical_durations_are_the_medians_of_enough_try_ons(polls: Polls) -> None:
    samples = [(1, 30), (2, 50), (99, 10), (3, 99), (0, 20)]
    for wait, run in samples:
        assert polls.statuses.find(USER, SESSION).typical is None
        polls.statuses.record_durations(TypicalDurations(wait, run))

    assert len(samples) == MIN_SAMPLES
    assert polls.statuses.find(USER, SESSION).typical == TypicalDurations(2, 30)


def test_only_the_latest_try_ons_count(polls: Polls) -> None:
    for _ in range(SAMPLES):
        polls.statuses.record_durations(TypicalDurations(500, 900))
    assert polls.statuses.find(USER, SESSION).typical == TypicalDurations(500, 900)
    for _ in range(SAMPLES // 2 + 1):
        polls.statuses.record_durations(TypicalDurations(1, 2))

    assert polls.statuses.find(USER, SESSION).typical == TypicalDurations(1, 2)
    assert polls.redis.llen(SAMPLES_KEY) == SAMPLES == 50


def test_durations_are_known_for_a_day(polls: Polls) -> None:
    for count in range(MIN_SAMPLES):
        polls.statuses.record_durations(TypicalDurations(1, 2))
        assert TYPICAL_SECONDS - 1 < polls.lives(SAMPLES_KEY) <= TYPICAL_SECONDS, count

    assert TYPICAL_SECONDS - 1 < polls.lives(TYPICAL_KEY) <= TYPICAL_SECONDS == 86_400


# -- without Redis -----------------------------------------------------------------------------

WRITES: dict[str, Callable[[RedisStatusCache], None]] = {
    "advance": lambda statuses: statuses.advance(USER, SESSION, STATES["processing"]),
    "fill": lambda statuses: statuses.fill(USER, SESSION, STATES["queued"]),
    "mark_deleted": lambda statuses: statuses.mark_deleted(USER, SESSION),
    "extend_ttl": lambda statuses: statuses.extend_ttl([(USER, SESSION)]),
    "record_durations": lambda statuses: statuses.record_durations(TypicalDurations(1, 2)),
}


@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_raised_while_redis_is_away(
    polls: Polls, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    polls.server.connected = False

    WRITES[name](polls.statuses)

    assert len(caplog.records) == 1
    assert polls.statuses.find(USER, SESSION) == NOTHING


@pytest.mark.parametrize("name", STATES)
def test_redis_is_asked_again_only_when_what_it_kept_has_expired(polls: Polls, name: str) -> None:
    """What ended while it was away is still `processing` there, and what was deleted is there."""
    polls.say(name)
    assert polls.lives() < AWAY_SECONDS

    polls.redis.delete(KEY)
    polls.statuses.fill(USER, SESSION, STATES[name])
    assert polls.lives() < AWAY_SECONDS


def test_an_end_is_kept_for_longer_than_a_reader_may_be_slow(polls: Polls) -> None:
    polls.say("success")

    assert polls.lives() > LOOKUP_SECONDS + 4


@pytest.mark.parametrize("name", WRITES)
def test_what_must_be_said_is_said_also_just_after_redis_was_away(polls: Polls, name: str) -> None:
    """A delete or an end that is not said would have polls tell what is no longer true."""
    polls.say("queued")
    polls.redis.expire(KEY, 2)
    before = polls.redis.get(KEY)
    polls.go_away()
    polls.come_back()

    WRITES[name](polls.statuses)

    must = name in ("advance", "mark_deleted")
    assert (polls.redis.get(KEY) != before) == must
    assert (polls.lives() > 2) == must
    assert not polls.redis.exists(SAMPLES_KEY)


@pytest.mark.parametrize("rubbish", [b"[1]", b"x", b"null", b'["a", "b"]', b"7"])
def test_what_another_version_has_written_is_unknown_and_harms_nobody(rubbish: bytes) -> None:
    redis = FakeStrictRedis(server=FakeServer())
    urls = SignedUrlCache(Cache(redis), "bucket")
    cache = RedisStatusCache(Cache(redis), urls)
    redis.set(TYPICAL_KEY, rubbish)
    redis.set(urls.key(result_path("u", "s")), rubbish)
    redis.lpush(SAMPLES_KEY, rubbish)

    cache.record_durations(TypicalDurations(1, 2))
    found = cache.find("u", "s")

    assert (found.typical, found.result) == (None, None)
    assert urls.find([result_path("u", "s")]) == {}


def test_who_tells_an_end_learns_whether_redis_heard_it(polls: Polls) -> None:
    assert polls.statuses.advance(USER, SESSION, STATES["processing"])
    assert polls.statuses.advance(USER, SESSION, STATES["success"])
    assert polls.statuses.advance(USER, SESSION, STATES["processing"])  # heard, and not wanted

    polls.go_away()
    assert not polls.statuses.advance(USER, SESSION, STATES["success"])
