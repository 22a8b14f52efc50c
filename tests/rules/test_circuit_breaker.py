"""Submits pause while the provider wants money, and one finds out when it is paid."""

import logging
from types import SimpleNamespace
from typing import cast

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis

from vton.adapters.pixazo.client import SUBMIT_SECONDS
from vton.adapters.redis.circuit_breaker import (
    OTHERS_FIRST_SECONDS,
    PAUSE_SECONDS,
    PAUSED_KEY,
    PROBE_KEY,
    PROBE_SECONDS,
    PROBE_WAIT_SECONDS,
    TRIPPED_KEY,
    TRIPPED_SECONDS,
    RedisCircuitBreaker,
)


@pytest.fixture
def redis() -> Redis:
    """A Redis of this test's own."""
    return FakeStrictRedis(server=FakeServer())


@pytest.fixture
def breaker(redis: Redis) -> RedisCircuitBreaker:
    """A process's circuit breaker."""
    return RedisCircuitBreaker(redis)


def seconds_left(redis: Redis, key: str) -> float:
    """How long a key still lives."""
    return redis.pttl(key) / 1000


def pass_the_pause(redis: Redis) -> None:
    """Have the minute be over."""
    assert redis.delete(PAUSED_KEY)


def test_all_go_ahead_while_nothing_happened(breaker: RedisCircuitBreaker, redis: Redis) -> None:
    assert [breaker.seconds_until_allowed("another") for _ in range(3)] == [0, 0, 0]
    assert breaker.paused_for() == 0
    assert redis.keys() == []


def test_a_refusal_for_money_stops_all_for_a_minute(breaker: RedisCircuitBreaker) -> None:
    breaker.trip("one")

    for _ in range(3):
        assert PAUSE_SECONDS - 1 < breaker.seconds_until_allowed("another") <= PAUSE_SECONDS
    assert breaker.paused_for() == PAUSE_SECONDS == 60


def test_a_pause_holds_in_all_processes(breaker: RedisCircuitBreaker, redis: Redis) -> None:
    breaker.trip("one")
    other = RedisCircuitBreaker(redis)

    assert other.seconds_until_allowed("another") > 59
    assert other.paused_for() == 60
    other.close()
    assert breaker.seconds_until_allowed("another") == 0


def test_nothing_of_it_is_for_ever(breaker: RedisCircuitBreaker, redis: Redis) -> None:
    breaker.trip("one")
    assert PAUSE_SECONDS - 1 < seconds_left(redis, PAUSED_KEY) <= PAUSE_SECONDS
    assert TRIPPED_SECONDS - 1 < seconds_left(redis, TRIPPED_KEY) <= TRIPPED_SECONDS

    pass_the_pause(redis)
    breaker.seconds_until_allowed("another")
    assert PROBE_SECONDS - 1 < seconds_left(redis, PROBE_KEY) <= PROBE_SECONDS
    assert sorted(redis.keys()) == [PROBE_KEY.encode(), TRIPPED_KEY.encode()]


def test_after_the_pause_one_alone_finds_out(breaker: RedisCircuitBreaker, redis: Redis) -> None:
    breaker.trip("one")
    pass_the_pause(redis)

    assert breaker.paused_for() == 0
    waits = [RedisCircuitBreaker(redis).seconds_until_allowed("another") for _ in range(4)]
    assert waits == [0, PROBE_WAIT_SECONDS, PROBE_WAIT_SECONDS, PROBE_WAIT_SECONDS]


def test_another_finds_out_when_the_first_one_is_not_heard_of_again(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    breaker.trip("one")
    pass_the_pause(redis)
    assert breaker.seconds_until_allowed("another") == 0
    redis.delete(PROBE_KEY)  # its time is over

    assert breaker.seconds_until_allowed("another") == 0
    assert breaker.seconds_until_allowed("another") == PROBE_WAIT_SECONDS


def test_who_tripped_it_is_the_probe_only_where_nobody_else_comes(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    breaker.trip("one")
    pass_the_pause(redis)
    assert breaker.seconds_until_allowed("one") == PROBE_WAIT_SECONDS
    assert not redis.exists(PROBE_KEY)
    redis.pexpire(TRIPPED_KEY, int((TRIPPED_SECONDS - OTHERS_FIRST_SECONDS + 0.5) * 1000))
    assert breaker.seconds_until_allowed("one") == PROBE_WAIT_SECONDS
    redis.pexpire(TRIPPED_KEY, int((TRIPPED_SECONDS - OTHERS_FIRST_SECONDS) * 1000))

    assert breaker.seconds_until_allowed("one") == 0
    assert breaker.seconds_until_allowed("another") == PROBE_WAIT_SECONDS


def test_it_is_known_whether_a_submit_was_accepted_since(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    assert not breaker.tripped()
    breaker.trip("one")
    assert breaker.tripped()
    pass_the_pause(redis)
    assert breaker.tripped()
    breaker.close()
    assert not breaker.tripped()


def test_a_probe_has_time_for_a_whole_submit() -> None:
    assert PROBE_SECONDS > SUBMIT_SECONDS


def test_an_accepted_submit_lets_all_go_ahead(
    breaker: RedisCircuitBreaker, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    breaker.trip("one")
    pass_the_pause(redis)
    breaker.seconds_until_allowed("another")

    breaker.close()

    assert [breaker.seconds_until_allowed("another") for _ in range(3)] == [0, 0, 0]
    assert redis.keys() == []
    assert "takes submits again" in caplog.text


def test_a_submit_that_was_under_way_lifts_the_pause_too(breaker: RedisCircuitBreaker) -> None:
    breaker.trip("one")

    breaker.close()

    assert (breaker.seconds_until_allowed("another"), breaker.paused_for()) == (0, 0)


def test_an_accepted_submit_is_no_news_while_nothing_happened(
    breaker: RedisCircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    breaker.close()

    assert caplog.records == []


def test_a_probe_that_is_refused_starts_the_pause_anew(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    breaker.trip("one")
    pass_the_pause(redis)
    assert breaker.seconds_until_allowed("another") == 0
    redis.expire(TRIPPED_KEY, 5)

    breaker.trip("one")

    assert breaker.seconds_until_allowed("another") > 59
    assert seconds_left(redis, TRIPPED_KEY) > TRIPPED_SECONDS - 1
    pass_the_pause(redis)
    assert (
        breaker.seconds_until_allowed("another") == 0
    )  # the next probe need not wait for the last one


def test_after_an_hour_without_news_all_go_ahead(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    breaker.trip("one")
    redis.delete(TRIPPED_KEY, PAUSED_KEY)  # their time is over

    assert [breaker.seconds_until_allowed("another") for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [(1, 1), (999, 1), (1000, 1), (1001, 2), (59_001, 60), (60_000, 60), (0, 0), (-1, 0), (-2, 0)],
)
def test_a_pause_is_told_in_whole_seconds_and_never_too_short(
    milliseconds: int, seconds: int
) -> None:
    redis = cast(Redis, SimpleNamespace(pttl=lambda key: milliseconds))

    assert RedisCircuitBreaker(redis).paused_for() == seconds


def test_a_pause_of_less_than_a_second_is_waited_for(
    breaker: RedisCircuitBreaker, redis: Redis
) -> None:
    breaker.trip("one")
    redis.pexpire(PAUSED_KEY, 900)

    assert 0 < breaker.seconds_until_allowed("another") <= 0.9
    assert not redis.exists(PROBE_KEY)


def test_without_redis_all_go_ahead(caplog: pytest.LogCaptureFixture) -> None:
    server = FakeServer()
    breaker = RedisCircuitBreaker(FakeStrictRedis(server=server))
    breaker.trip("one")
    server.connected = False
    assert breaker.tripped(), "who may be the probe is not failed for it"

    assert (breaker.seconds_until_allowed("another"), breaker.paused_for()) == (0, 0)
    assert caplog.records == []
    breaker.trip("one")
    breaker.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    server.connected = True
    assert breaker.seconds_until_allowed("another") > 59
