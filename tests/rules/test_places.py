"""Who may have a picture decoded, and who goes first: one user never keeps all others waiting."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from vton.errors import Problem, Unavailable
from vton.imaging.places import (
    BUDGET_SECONDS,
    PLACES,
    REFUSED_SECONDS,
    WINDOW_SECONDS,
    Place,
    Places,
)


class Door:
    """The places, and the time."""

    def __init__(self, own_seconds: float = 5.0) -> None:
        self.seconds = 1000.0
        self.places = Places(own_seconds=own_seconds)

    def now(self) -> float:
        return self.seconds

    def decode(self, owner: str | None, seconds: float) -> Place:
        """Have a picture decoded, which takes so long."""
        with self.places.taken(owner, self.now) as place:
            place.used_seconds = seconds
        return place

    def refused(self, owner: str) -> int | None:
        """Have none decoded; for how long that is so."""
        with pytest.raises(Problem, match="rate_limited") as problem:
            self.decode(owner, 0)
        return problem.value.retry_after


@pytest.fixture
def door() -> Door:
    """Nobody is there yet."""
    return Door()


def test_what_is_decoded_at_once_counts_as_well(door: Door) -> None:
    for _ in range(3):
        with door.places.counted("a", door.now):
            door.seconds += BUDGET_SECONDS / 3

    assert door.refused("a")
    with pytest.raises(Problem, match="rate_limited"), door.places.counted("a", door.now):
        pytest.fail("it was let in")
    with door.places.counted("b", door.now), door.places.counted(None, door.now):
        door.seconds += 1
    door.seconds += WINDOW_SECONDS
    assert door.decode("a", 1)


def test_who_has_used_up_their_time_waits_until_it_lapses(door: Door) -> None:
    door.decode("a", BUDGET_SECONDS / 2)
    door.seconds += 10
    door.decode("a", BUDGET_SECONDS / 2)

    assert door.refused("a") == WINDOW_SECONDS - 10
    assert door.decode("b", 1)
    door.seconds += WINDOW_SECONDS - 10.5
    assert door.refused("a") == 1
    door.seconds += 0.5
    assert door.decode("a", 1)


def test_a_budget_is_for_how_long_and_not_for_how_many(door: Door) -> None:
    for _ in range(50):
        door.decode("a", BUDGET_SECONDS / 51)

    assert door.decode("a", 1)


def test_who_has_used_less_goes_first(door: Door) -> None:
    door.decode("a", 2)
    door.decode("b", 1)

    with ExitStack() as taken:
        a, b, c = (taken.enter_context(door.places.taken(who, door.now)) for who in "abc")
        may = [door.places.may_begin(place) for place in (a, b, c)]
        c.begun = True
        next_may = [door.places.may_begin(place) for place in (a, b)]

    assert (may, next_may) == ([False, False, True], [False, True])
    with door.places.taken("a", door.now) as alone:
        assert door.places.may_begin(alone)


def test_what_was_used_a_minute_ago_does_not_count(door: Door) -> None:
    door.decode("a", 2)
    door.seconds += WINDOW_SECONDS

    with door.places.taken("a", door.now) as a, door.places.taken("b", door.now) as b:
        assert door.places.may_begin(a)
        assert door.places.may_begin(b)


def test_when_all_places_are_taken_who_has_used_most_loses_theirs(door: Door) -> None:
    for number in range(PLACES):
        door.decode(str(number), number / 10 + 0.1)

    with ExitStack() as taken:
        places = [
            taken.enter_context(door.places.taken(str(number), door.now))
            for number in range(PLACES)
        ]
        places[-1].begun = True  # which is not broken off
        with pytest.raises(Unavailable):  # has used as much as the last one who waits
            door.places._make_room(places[-2].used_lately)
        taken.enter_context(door.places.taken("new", door.now))

        with pytest.raises(Unavailable):
            door.places.may_begin(places[-2])
        assert [place.lost for place in places] == [False] * (PLACES - 2) + [True, False]
    assert door.decode(str(PLACES - 2), 0)
    assert door.places._taken == []


def test_while_all_are_decoded_nobody_loses_a_place(door: Door) -> None:
    with ExitStack() as taken:
        for number in range(PLACES):
            door.decode(str(number), 1)
            taken.enter_context(door.places.taken(str(number), door.now)).begun = True

        with pytest.raises(Unavailable):
            door.decode("new", 0)


def test_two_photos_of_one_user_wait_for_each_other(door: Door) -> None:
    order: list[str] = []

    def second() -> None:
        with door.places.taken("a", door.now):
            order.append("second")

    with door.places.taken("a", door.now):
        waiting = threading.Thread(target=second)
        waiting.start()
        door.decode("b", 1)  # nobody else waits for them
        order.append("first")
    waiting.join(5)

    assert order == ["first", "second"]


def test_no_more_than_one_waits() -> None:
    """Each has its bytes in memory."""
    door = Door(own_seconds=60)
    with ThreadPoolExecutor(2) as threads, door.places.taken("a", door.now):
        waiting = threads.submit(door.decode, "a", 1)
        while not door.places._waiting:
            assert not waiting.done()
        assert threads.submit(door.refused, "a").result(5) == 1
    assert waiting.result()


def test_a_wait_is_as_long_as_it_takes_until_enough_has_lapsed(door: Door) -> None:
    door.decode("a", 0)
    door.decode("a", 1)
    door.seconds += 50
    door.decode("a", BUDGET_SECONDS)
    door.seconds += 1

    assert door.refused("a") == WINDOW_SECONDS - 1


def test_but_not_for_ever() -> None:
    door = Door(own_seconds=0.01)

    with door.places.taken("a", door.now):
        assert door.refused("a") == 1
    assert door.decode("a", 1)


def test_the_operators_pictures_are_nobodys(door: Door) -> None:
    with door.places.taken(None, door.now) as one, door.places.taken(None, door.now) as other:
        one.used_seconds = other.used_seconds = BUDGET_SECONDS

    assert door.decode(None, 0).used_lately == 0


def test_whose_picture_had_to_be_ended_waits(door: Door) -> None:
    door.places.refuse_for_a_while("a", door.seconds)
    door.places.refuse_for_a_while(None, door.seconds)

    assert door.refused("a") == REFUSED_SECONDS
    assert door.decode("b", 0)
    assert door.decode(None, 0)
    door.seconds += REFUSED_SECONDS
    assert door.decode("a", 0)


def test_what_is_long_ago_is_forgotten(door: Door) -> None:
    for number in range(20):
        door.decode(str(number), 1)
        door.places.refuse_for_a_while(str(number), door.seconds)
    door.seconds += WINDOW_SECONDS + 1

    door.decode("b", 1)

    assert set(door.places._used) == {"b"}
    assert door.places._refused_until == {}
