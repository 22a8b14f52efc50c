"""Reads that are made together: each reader gets what is its own, whatever happens to others."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, ResponseError
from redis.retry import Retry

from vton.adapters.redis.cache import AWAY_SECONDS, Cache
from vton.adapters.redis.connection import NotThePrimary

PATIENCE = 5.0
"""How long a test waits for what comes at once."""


class Wire:
    """A Redis, its one pool and its one connection, that answers `MGET` from a dictionary.

    The first answer waits for `go_on`. What is in `answers` comes first, one for each question:
    something to return, or to raise. Each question has a write with it, which only a primary takes.
    """

    def __init__(self, *answers: object, hold: bool = False) -> None:
        self.data = {name: f"of {name}".encode() for name in "abcdefgh"}
        self.answers = list(answers)
        self.asked: list[list[str]] = []
        self.written = 0
        self.is_primary = True
        self.connections = self.broken_off = 0
        self.retry = Retry(NoBackoff(), 1)
        self.go_on = threading.Event()
        if not hold:
            self.go_on.set()

    def get_connection(self) -> "Wire":
        self.connections += 1
        return self

    def pack_commands(self, commands: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
        return commands

    def send_packed_command(self, commands: Sequence[tuple[str, ...]]) -> None:
        (read, *keys), write = commands
        assert (read, write) == ("MGET", ("UNLINK", "vton:nothing"))
        self.asked.append(keys)
        self.written = 0

    def read_response(self) -> object:
        if self.written:
            self.written = 0
            if not self.is_primary:
                raise NotThePrimary
            return 0
        self.written = 1
        keys = self.asked[-1]
        assert self.go_on.wait(PATIENCE)
        answer = self.answers.pop(0) if self.answers else [self.data.get(key) for key in keys]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def disconnect(self) -> None:
        self.broken_off += 1
        self.is_primary = True

    @property
    def redis(self) -> Redis:
        """What a `Cache` is made with."""
        return cast(Redis, SimpleNamespace(connection_pool=self))


def until(happened: Callable[[], object]) -> None:
    """Wait for what comes at once."""
    ends_at = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < ends_at
        threading.Event().wait(0.001)


def read_together(
    wire: Wire, *wanted: Sequence[str]
) -> tuple[Cache, list[Sequence[bytes | None] | BaseException]]:
    """Have the first of these read, and all others come while it is under way."""
    cache = Cache(wire.redis)
    with ThreadPoolExecutor(len(wanted)) as threads:
        futures: list[Future[Sequence[bytes | None]]] = [threads.submit(cache.read, wanted[0])]
        until(lambda: wire.asked)
        for number, keys in enumerate(wanted[1:], 1):
            futures.append(threads.submit(cache.read, keys))
            until(lambda number=number: len(cache._values._waiting) == number)
        wire.go_on.set()
        errors = [future.exception(PATIENCE) for future in futures]
    assert cache._values._waiting == []
    return cache, [error or future.result() for error, future in zip(errors, futures, strict=True)]


# -- each their own ----------------------------------------------------------------------------


def test_each_of_several_readers_gets_what_is_under_its_own_keys() -> None:
    """Else somebody would be told another user's status, or get their signed URL."""
    wire = Wire(hold=True)

    _, found = read_together(wire, ["a"], ["b"], ["c", "not there", "d"], ["e", "f"], ["a", "a"])

    assert wire.asked == [["a"], ["b", "c", "not there", "d", "e", "f", "a", "a"]]
    assert found == [
        [b"of a"],
        [b"of b"],
        [b"of c", None, b"of d"],
        [b"of e", b"of f"],
        [b"of a", b"of a"],
    ]


def test_what_is_no_primary_any_more_is_not_believed() -> None:
    wire = Wire([b"long ago"])
    wire.is_primary = False

    assert Cache(wire.redis).read(["a"]) == [b"of a"]
    assert (wire.broken_off, wire.asked) == (1, [["a"], ["a"]])


def test_threads_that_start_together_get_each_their_own() -> None:
    redis = FakeStrictRedis(server=FakeServer())
    cache, together = Cache(redis), threading.Barrier(16)
    redis.mset({f"{n}:{i}": f"{n}:{i}:value" for n in range(16) for i in range(4)})

    def ask(number: int) -> int:
        together.wait(PATIENCE)
        keys = [f"{number}:{i}" for i in range(number % 4 + 1)] + ["nobody's"]
        wanted = [f"{key}:value".encode() for key in keys[:-1]] + [None]
        return sum(cache.read(keys) == wanted for _ in range(20))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(ask, range(16))) == [20] * 16


def test_one_connection_is_enough_and_is_kept() -> None:
    wire = Wire(hold=True)

    cache, _ = read_together(wire, ["a"], ["b"], ["c"])
    assert cache.read(["d"]) == [b"of d"]

    assert (wire.connections, wire.broken_off) == (1, 0)


def test_who_comes_when_nobody_reads_does_not_wait_for_anybody() -> None:
    wire = Wire()
    cache = Cache(wire.redis)

    assert [cache.read([key]) for key in "abz"] == [[b"of a"], [b"of b"], [None]]
    assert wire.asked == [["a"], ["b"], ["z"]]


class Slow(Wire):
    """Holds the second answer, too."""

    def __init__(self) -> None:
        super().__init__(hold=True)
        self.second = threading.Event()

    def read_response(self) -> object:
        assert len(self.asked) != 2 or self.second.wait(PATIENCE)
        return super().read_response()


def test_who_comes_while_others_are_read_for_waits_too() -> None:
    """Two on one connection would each read what is the other's."""
    wire = Slow()
    cache = Cache(wire.redis)
    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(cache.read, ["a"])]
        until(lambda: wire.asked)
        futures.append(threads.submit(cache.read, ["b"]))
        until(lambda: cache._values._waiting)
        wire.go_on.set()
        until(lambda: len(wire.asked) == 2)
        futures.append(threads.submit(cache.read, ["c"]))
        until(lambda: cache._values._waiting or len(wire.asked) > 2)
        asked = len(wire.asked)
        wire.second.set()
        found = [future.result(PATIENCE) for future in futures]

    assert asked == 2
    assert found == [[b"of a"], [b"of b"], [b"of c"]]


# -- when something goes wrong -----------------------------------------------------------------


def test_an_error_reaches_each_who_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    gone = ConnectionError("gone")
    wire = Wire([b"of a"], gone, gone, hold=True)

    _, found = read_together(wire, ["a"], ["b"], ["c", "d"])

    assert found == [[b"of a"], [None], [None, None]]
    assert len(caplog.records) == 2


def test_an_error_does_not_reach_those_who_come_after() -> None:
    wire = Wire(ResponseError("LOADING"), hold=True)

    _, found = read_together(wire, ["a"], ["b"], ["c", "d"])

    assert found == [[None], [b"of b"], [b"of c", b"of d"]]


def test_a_connection_that_had_ended_is_opened_anew_once() -> None:
    wire = Wire(ConnectionError("closed by the server"))

    assert Cache(wire.redis).read(["a"]) == [b"of a"]
    assert wire.asked == [["a"], ["a"]]
    assert wire.broken_off == 1


@pytest.mark.parametrize(
    "wrong", [[], [b"of a", b"of b"], None, b"of a", 7, {b"a": b"of a"}, (b"of a",)]
)
def test_an_answer_to_something_else_is_not_believed(wrong: object) -> None:
    """And what may still come on that connection is not taken for the next answer."""
    wire = Wire(wrong)
    cache = Cache(wire.redis)

    assert cache.read(["a"]) == [None]
    assert wire.broken_off == 1
    cache._not_before = 0.0  # a while later
    assert cache.read(["b"]) == [b"of b"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(), MemoryError()])
def test_a_reader_that_is_ended_leaves_nobody_waiting(end: BaseException) -> None:
    wire = Wire(end, hold=True)

    cache, found = read_together(wire, ["a"], ["b"], ["c", "d"])

    assert found == [end, [b"of b"], [b"of c", b"of d"]]
    assert wire.broken_off == 1
    assert cache.read(["e"]) == [b"of e"]


def test_those_for_whom_an_ended_one_has_read_do_without_redis() -> None:
    end = SystemExit()
    wire = Wire([b"of a"], end, hold=True)

    cache, found = read_together(wire, ["a"], ["b"], ["c", "d"])

    assert found == [[b"of a"], end, [None, None]]
    cache._not_before = 0.0  # a while later
    assert cache.read(["e"]) == [b"of e"]


# -- a Redis that is away ----------------------------------------------------------------------


class Counted:
    """Asks Redis, and counts how often."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.cache = Cache(FakeStrictRedis(server=self.server))
        self.calls = 0

    def call(self, redis: Any) -> object:
        """What is asked."""
        self.calls += 1
        return redis.incr("counter")


@pytest.fixture
def counted() -> Counted:
    """A Redis of this test's own."""
    return Counted()


def test_what_is_asked_is_answered(counted: Counted) -> None:
    assert counted.cache.ask(counted.call, "otherwise") == 1
    assert counted.cache.require(counted.call, "otherwise") == 2
    assert counted.cache.read(["counter", "nothing"]) == [b"2", None]


def test_a_redis_that_is_away_is_not_asked_for_a_while(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    counted.server.connected = False

    began = time.monotonic()
    assert counted.cache.ask(counted.call, "otherwise") == "otherwise"
    ended = time.monotonic()
    counted.server.connected = True
    assert [counted.cache.ask(counted.call, n) for n in range(5)] == [0, 1, 2, 3, 4]
    assert counted.cache.read(["counter", "nothing"]) == [None, None]

    assert counted.calls == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert began + AWAY_SECONDS <= counted.cache._not_before <= ended + AWAY_SECONDS
    assert AWAY_SECONDS == 20


def test_it_is_asked_again_after_that(counted: Counted) -> None:
    counted.server.connected = False
    counted.cache.ask(counted.call, None)
    counted.server.connected = True
    counted.cache._not_before = time.monotonic()  # a while later

    assert counted.cache.ask(counted.call, None) == 1
    assert counted.cache.read(["counter"]) == [b"1"]


def test_a_read_that_failed_counts_too(counted: Counted) -> None:
    counted.server.connected = False
    assert counted.cache.read(["counter"]) == [None]
    counted.server.connected = True

    assert counted.cache.ask(counted.call, "otherwise") == "otherwise"
    assert counted.calls == 0


def test_what_it_must_be_told_it_is_told_all_the_same(counted: Counted) -> None:
    counted.server.connected = False
    assert counted.cache.require(counted.call, "otherwise") == "otherwise"
    counted.server.connected = True

    assert counted.cache.ask(counted.call, "otherwise") == "otherwise"
    assert counted.cache.require(counted.call, "otherwise") == 1
    assert counted.calls == 2


def test_a_fault_of_ours_is_not_taken_for_one_of_redis(counted: Counted) -> None:
    def fault(_: Redis) -> None:
        raise ValueError("a fault of ours")

    for ask in (counted.cache.ask, counted.cache.require):
        with pytest.raises(ValueError, match="ours"):
            ask(fault, None)
    assert counted.cache.ask(counted.call, None) == 1


@pytest.mark.parametrize("error", [RedisError("x"), ResponseError("OOM"), ConnectionError("x")])
def test_any_error_of_redis_is_answered_otherwise(counted: Counted, error: RedisError) -> None:
    def fail(_: Redis) -> str:
        raise error

    assert counted.cache.ask(fail, "otherwise") == "otherwise"
