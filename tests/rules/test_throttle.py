"""How often the provider is asked: by all together, one after another, and not while it is busy."""

import pytest
from fakes import FakeClock

from vton.adapters.pixazo.throttle import LONGEST_SECONDS, Throttle
from vton.tryon.ports.provider import RetryableError


@pytest.fixture
def clock() -> FakeClock:
    """Time, which passes only by waiting."""
    return FakeClock()


def throttle(clock: FakeClock, per_second: float = 2) -> Throttle:
    """What lets so many calls a second through."""
    return Throttle(per_second, clock, clock)


def refused(one: Throttle) -> float | None:
    """For how many seconds a call is told to stay away."""
    with pytest.raises(RetryableError) as caught:
        one.wait()
    return caught.value.retry_after


def test_the_first_call_does_not_wait(clock: FakeClock) -> None:
    throttle(clock).wait()

    assert clock.seconds == 0


def test_calls_go_through_one_after_another(clock: FakeClock) -> None:
    one, times = throttle(clock, 4), []
    for _ in range(5):
        one.wait()
        times.append(clock.seconds)

    assert times == [0, 0.25, 0.5, 0.75, 1]


def test_who_comes_late_does_not_wait_and_nothing_is_saved_up(clock: FakeClock) -> None:
    one = throttle(clock)
    one.wait()
    clock.sleep(100)

    one.wait()
    assert clock.seconds == 100
    one.wait()
    assert clock.seconds == 100.5


def test_who_comes_a_little_early_waits_for_the_rest(clock: FakeClock) -> None:
    one = throttle(clock)
    one.wait()
    clock.sleep(0.375)

    one.wait()

    assert clock.seconds == 0.5


class Crowd(FakeClock):
    """A clock on which all callers of a moment wait at once: waiting passes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False


def test_those_who_come_at_once_get_each_a_turn_of_their_own() -> None:
    crowd = Crowd()
    one = throttle(crowd, 4)
    for _ in range(5):
        one.wait()

    assert crowd.waited == [0.25, 0.5, 0.75, 1]


def test_who_would_wait_more_than_a_second_is_sent_away_and_takes_no_turn() -> None:
    crowd = Crowd()
    one = throttle(crowd)
    for _ in range(3):
        one.wait()

    assert refused(one) == 1.5
    assert refused(one) == 1.5
    crowd.seconds = 0.5
    one.wait()
    assert crowd.waited == [0.5, LONGEST_SECONDS, LONGEST_SECONDS]


def test_nobody_gets_through_while_it_is_slowed_down(clock: FakeClock) -> None:
    one = throttle(clock)
    clock.sleep(3)
    one.slow_down(5)

    assert refused(one) == 5
    clock.sleep(3.75)
    assert refused(one) == 1.25
    clock.sleep(0.25)
    one.wait()
    assert clock.seconds == 8
    one.wait()
    assert clock.seconds == 8.5


def test_it_is_not_slowed_down_for_less_than_it_is_already(clock: FakeClock) -> None:
    one = throttle(clock)
    one.slow_down(30)
    one.slow_down(2)

    assert refused(one) == 30


def test_a_longer_pause_replaces_a_shorter_one(clock: FakeClock) -> None:
    one = throttle(clock)
    one.slow_down(2)
    one.slow_down(30)

    assert refused(one) == 30


def test_a_process_that_ends_calls_nobody_more(clock: FakeClock) -> None:
    one = throttle(clock)
    one.wait()
    clock.stop()

    assert refused(one) is None
    assert clock.seconds == 0
