"""What processes have counted is added up in Redis, and nothing of it is lost or counted twice."""

import json
from collections import deque

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from fakes import FakeClock
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from vton.adapters.redis.shared_metrics import (
    ALARMS_KEPT,
    ALARMS_KEY,
    COUNTS_KEY,
    SharedMetrics,
)
from vton.errors import Unavailable


class Process:
    """A process that counts."""

    def __init__(self, server: FakeServer) -> None:
        registry = CollectorRegistry()
        self.answers = Counter("answers", "Answers.", ["status"], registry=registry)
        self.alarms = Counter("alarms", "Alarms.", registry=registry)
        self.seconds = Histogram("seconds", "Time.", ["route"], buckets=(2, 10), registry=registry)
        self.shared = SharedMetrics(FakeStrictRedis(server=server), registry)

    def shown(self) -> list[str]:
        """What a scrape of this process shows, without the comments."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self.shared)
        lines = generate_latest(registry).decode().splitlines()
        return [line for line in lines if not line.startswith("#")]


@pytest.fixture
def server() -> FakeServer:
    """One Redis for all."""
    return FakeServer()


def test_a_scrape_of_one_shows_what_all_have_counted(server: FakeServer) -> None:
    web, other, worker = (Process(server) for _ in range(3))
    web.answers.labels("200").inc()
    other.answers.labels("200").inc(2)
    other.answers.labels("404").inc()
    worker.alarms.inc()
    worker.seconds.labels("/").observe(3)
    web.seconds.labels("/").observe(1)
    for process in (web, other, worker):
        process.shared.push()

    assert web.shown() == other.shown() == worker.shown() == [
        'answers_total{status="200"} 3.0', 'answers_total{status="404"} 1.0',
        "alarms_total 1.0",
        'seconds_bucket{le="2.0",route="/"} 1.0', 'seconds_bucket{le="10.0",route="/"} 2.0',
        'seconds_bucket{le="+Inf",route="/"} 2.0',
        'seconds_count{route="/"} 2.0', 'seconds_sum{route="/"} 4.0',
    ]  # fmt: skip


def test_a_counter_that_nobody_has_counted_is_zero(server: FakeServer) -> None:
    assert Process(server).shown() == ["alarms_total 0.0"]


def test_only_what_is_new_is_added(server: FakeServer) -> None:
    web = Process(server)
    for _ in range(3):
        web.alarms.inc()
        web.shared.push()
        web.shared.push()

    assert web.shown() == ["alarms_total 3.0"]


def test_what_is_counted_while_redis_is_away_is_added_later(server: FakeServer) -> None:
    web = Process(server)
    web.alarms.inc()
    server.connected = False
    with pytest.raises(Unavailable):
        web.shared.push()
    with pytest.raises(Unavailable):
        web.shown()
    web.alarms.inc()
    server.connected = True

    web.shared.push()

    assert web.shown() == ["alarms_total 2.0"]


def test_a_process_that_has_ended_is_still_counted(server: FakeServer) -> None:
    ended, clock = Process(server), FakeClock()
    ended.alarms.inc()
    clock.after(7, clock.stop)

    ended.shared.push_forever(clock, 5)

    assert Process(server).shown() == ["alarms_total 1.0"]


def test_an_emptied_redis_begins_at_zero(server: FakeServer) -> None:
    web = Process(server)
    web.alarms.inc(5)
    web.shared.push()
    FakeStrictRedis(server=server).flushall()
    web.alarms.inc()
    web.shared.push()

    assert web.shown() == ["alarms_total 1.0"]


def test_what_another_release_has_counted_is_left_out(server: FakeServer) -> None:
    FakeStrictRedis(server=server).hset(COUNTS_KEY, '["of_old_total", []]', 1)

    assert Process(server).shown() == ["alarms_total 0.0"]


def test_the_last_alarms_of_all_are_kept(server: FakeServer) -> None:
    redis, lines = FakeStrictRedis(server=server), deque[tuple[float, str]]()
    shared = SharedMetrics(redis, CollectorRegistry(), lines)
    for number in range(ALARMS_KEPT + 5):
        lines.append((float(number), f"ALARM {number}"))
        if number % 7 == 0:
            shared.push()
    shared.push()
    shared.push()

    kept = [json.loads(line) for line in redis.lrange(ALARMS_KEY, 0, -1)]
    assert [text for _, text in kept] == [f"ALARM {n}" for n in reversed(range(5, 25))]
    assert not lines
    assert redis.ttl(ALARMS_KEY) > 3600


def test_an_alarm_that_redis_did_not_take_is_told_later(server: FakeServer) -> None:
    redis, lines = FakeStrictRedis(server=server), deque([(1.0, "ALARM")])
    shared = SharedMetrics(redis, CollectorRegistry(), lines)
    server.connected = False
    with pytest.raises(Unavailable):
        shared.push()
    server.connected = True

    shared.push()

    assert redis.llen(ALARMS_KEY) == 1
