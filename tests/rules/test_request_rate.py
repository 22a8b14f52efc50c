"""How many requests a minute a user may make, and how many that find nothing."""

import logging
from collections.abc import Callable
from contextlib import suppress

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from flask import Flask, g
from redis import Redis

from vton.errors import Problem
from vton.web.limits import FAILED_LOGINS, RequestRate, not_found_limited, rate_limited

ONE, OTHER = "one user", "another user"


class World:
    """A Redis, and what counts in it."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis: Redis = FakeStrictRedis(server=self.server)

    def rate(self, per_minute: int = 3) -> RequestRate:
        """A process's count."""
        return RequestRate(self.redis, per_minute)


@pytest.fixture
def world() -> World:
    """A Redis of this test's own."""
    return World()


def refusal(call: Callable[[], object]) -> Problem:
    """What a request is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def look(rate: RequestRate, user_id: str, problem: str | None = "session_not_found") -> str | None:
    """Make a request that is answered so. Return the code that its user is told."""
    try:
        with rate.counting_not_found(user_id):
            if problem:
                raise Problem(problem)
    except Problem as told:
        return told.code
    return None


# -- all requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("per_minute", [1, 2, 7])
def test_exactly_so_many_requests_are_let_through(world: World, per_minute: int) -> None:
    rate = world.rate(per_minute)
    for _ in range(per_minute):
        rate.count(ONE)

    for _ in range(3):
        problem = refusal(lambda: rate.count(ONE))
        assert (problem.code, problem.policy) == ("rate_limited", "minute")
        assert isinstance(problem.retry_after, int)
        assert 1 <= problem.retry_after <= 61


def test_each_user_is_counted_alone(world: World) -> None:
    rate = world.rate(2)
    for _ in range(2):
        rate.count(ONE)
    refusal(lambda: rate.count(ONE))

    rate.count(OTHER)
    rate.count(OTHER)
    assert refusal(lambda: rate.count(OTHER)).code == "rate_limited"


def test_all_processes_count_together(world: World) -> None:
    world.rate(2).count(ONE)
    world.rate(2).count(ONE)

    assert refusal(lambda: world.rate(2).count(ONE)).code == "rate_limited"


def test_a_minute_later_requests_are_let_through_again(world: World) -> None:
    rate = world.rate(1)
    rate.count(ONE)
    refusal(lambda: rate.count(ONE))
    (key,) = world.redis.keys()
    assert 0 < world.redis.pttl(key) / 1000 <= 60
    world.redis.delete(key)  # its time is over

    rate.count(ONE)


@pytest.mark.parametrize("left", [1, 2, 30, 60])
def test_who_is_refused_is_told_when_to_come_back(world: World, left: int) -> None:
    rate = world.rate(1)
    rate.count(ONE)
    (key,) = world.redis.keys()
    world.redis.expire(key, left)

    assert refusal(lambda: rate.count(ONE)).retry_after in (left, left + 1)


def test_nothing_is_counted_where_there_is_no_limit(world: World) -> None:
    rate = world.rate(0)

    for _ in range(50):
        rate.count(ONE)
    assert {look(rate, ONE) for _ in range(50)} == {"session_not_found"}
    assert world.redis.keys() == []


# -- those that find nothing -------------------------------------------------------------------


def test_exactly_so_many_that_find_nothing_are_answered(world: World) -> None:
    rate = world.rate(3)
    assert [look(rate, ONE) for _ in range(3)] == ["session_not_found"] * 3

    problem = refusal(lambda: look_into(rate, ONE))
    assert (problem.code, problem.policy) == ("rate_limited", "minute")
    assert 1 <= (problem.retry_after or 0) <= 61


def look_into(rate: RequestRate, user_id: str) -> None:
    """Make a request that must not reach the database."""
    with rate.counting_not_found(user_id):
        raise AssertionError("the database was asked")


def test_each_users_are_counted_alone(world: World) -> None:
    rate = world.rate(2)
    assert [look(rate, ONE) for _ in range(3)] == ["session_not_found"] * 2 + ["rate_limited"]

    assert [look(rate, OTHER) for _ in range(3)] == ["session_not_found"] * 2 + ["rate_limited"]
    assert look(rate, "a third user", None) is None


def test_what_is_found_does_not_count(world: World) -> None:
    rate = world.rate(2)

    assert {look(rate, ONE, None) for _ in range(20)} == {None}
    assert look(rate, ONE) == "session_not_found"


@pytest.mark.parametrize("code", ["unavailable", "bad_request", "photo_rejected", "token_invalid"])
def test_no_other_problem_counts(world: World, code: str) -> None:
    rate = world.rate(2)

    assert {look(rate, ONE, code) for _ in range(20)} == {code}
    assert look(rate, ONE) == "session_not_found"


def test_anything_that_is_not_found_counts(world: World) -> None:
    rate = world.rate(1)

    assert [look(rate, ONE, "not_found"), look(rate, ONE, "not_found")] == [
        "not_found",
        "rate_limited",
    ]


def test_a_fault_of_ours_does_not_count(world: World) -> None:
    rate = world.rate(1)
    for _ in range(3):
        with suppress(ZeroDivisionError), rate.counting_not_found(ONE):
            raise ZeroDivisionError

    assert look(rate, ONE) == "session_not_found"


def test_who_may_not_look_any_more_does_not_find_either(world: World) -> None:
    rate = world.rate(1)
    look(rate, ONE)

    assert look(rate, ONE, None) == "rate_limited"


def test_those_that_come_at_once_do_not_get_past_the_limit(world: World) -> None:
    rate = world.rate(1)
    with pytest.raises(Problem) as caught, rate.counting_not_found(ONE):  # noqa: PT012
        look(rate, ONE)
        raise Problem("session_not_found")

    assert caught.value.code == "rate_limited"


def test_the_two_counts_are_apart(world: World) -> None:
    rate = world.rate(2)
    for _ in range(2):
        rate.count(ONE)
    assert [look(rate, ONE), look(rate, ONE)] == ["session_not_found"] * 2

    assert refusal(lambda: rate.count(ONE)).code == "rate_limited"
    assert look(rate, ONE) == "rate_limited"
    rate.count(OTHER)


def test_what_is_counted_ends_with_the_minute(world: World) -> None:
    rate = world.rate(2)
    rate.count(ONE)
    look(rate, ONE)

    keys = world.redis.keys()
    assert len(keys) == 2
    assert all(0 < world.redis.pttl(key) / 1000 <= 60 for key in keys)
    assert all(b"vton:rate" in key for key in keys)


# -- without Redis -----------------------------------------------------------------------------


def test_everybody_is_let_through_while_redis_is_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rate = world.rate(1)
    rate.count(ONE)
    look(rate, ONE)
    world.server.connected = False

    for _ in range(3):
        rate.count(ONE)
    assert len(caplog.records) == 3
    assert look(rate, ONE) == "session_not_found"
    assert look(rate, ONE, None) is None
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.getMessage() for record in caplog.records} == {
        "requests are not counted: Redis is away"
    }
    world.server.connected = True
    refusal(lambda: rate.count(ONE))


# -- views -------------------------------------------------------------------------------------


@pytest.fixture
def app(world: World) -> Flask:
    """An application that counts two requests a minute."""
    app = Flask("counted")
    app.extensions["rate"] = world.rate(2)
    return app


def ask(app: Flask, view: Callable[..., object], user_id: str, *args: object) -> object:
    """Ask a view as a user. Return what it answers, or the code of the problem."""
    with app.test_request_context():
        g.user_id = user_id
        try:
            return view(*args)
        except Problem as problem:
            return problem.code


def test_a_view_counts_its_users_requests(app: Flask) -> None:
    @rate_limited
    def view(name: str) -> str:
        """Says hello."""
        return f"hello {name}"

    assert [ask(app, view, ONE, "you") for _ in range(3)] == ["hello you"] * 2 + ["rate_limited"]
    assert ask(app, view, OTHER, "me") == "hello me"
    assert (view.__name__, view.__doc__) == ("view", "Says hello.")


def test_a_view_counts_what_its_users_do_not_find(app: Flask) -> None:
    @not_found_limited
    def view(name: str) -> str:
        """Finds me."""
        if name != "me":
            raise Problem("session_not_found")
        return f"hello {name}"

    assert [ask(app, view, ONE, "me") for _ in range(5)] == ["hello me"] * 5
    assert [ask(app, view, ONE, "you") for _ in range(3)] == [
        "session_not_found",
        "session_not_found",
        "rate_limited",
    ]
    assert ask(app, view, OTHER, "me") == "hello me"
    assert (view.__name__, view.__doc__) == ("view", "Finds me.")


# -- the operator's password -------------------------------------------------------------------


@pytest.mark.parametrize("connected", [True, False])
def test_a_password_is_guessed_ten_times_a_minute_also_without_redis(
    world: World, connected: bool
) -> None:
    world.server.connected = connected
    rate = world.rate()
    for _ in range(FAILED_LOGINS):
        rate.check_logins("192.0.2.1")
        with suppress(Problem):
            rate.count_failed_login("192.0.2.1")

    assert refusal(lambda: rate.check_logins("192.0.2.1")).code == "rate_limited"
    rate.check_logins("192.0.2.2")
