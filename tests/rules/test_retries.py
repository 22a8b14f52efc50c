"""How a run waits and repeats: for how long, how often, and what ends it early."""

from collections.abc import Callable, Sequence
from itertools import islice

import pytest
from fakes import FakeClock, FakeJobs, World

from vton.errors import Unavailable
from vton.tryon.model import Session
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    PermanentError,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.storage import PictureMissing
from vton.tryon.retries import Cancelled, Interrupted, Retries, backoffs

DEADLINE = 600.0


class Waits:
    """A `Shutdown` that notes for how long it was asked to wait each time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.noted: list[float] = []

    def wait(self, seconds: float) -> bool:
        """Wait as the fake clock does."""
        self.noted.append(seconds)
        return self.clock.wait(seconds)


class Call:
    """A call that raises each of `faults` in turn, and then returns an answer."""

    def __init__(self, faults: Sequence[BaseException]) -> None:
        self.faults = list(faults)
        self.count = 0

    def __call__(self) -> str:
        """Fail, or answer."""
        self.count += 1
        if self.faults:
            raise self.faults.pop(0)
        return "answer"


@pytest.fixture
def clock() -> FakeClock:
    """Time that passes only by waiting."""
    return FakeClock()


@pytest.fixture
def waits(clock: FakeClock) -> Waits:
    """What notes each wait."""
    return Waits(clock)


@pytest.fixture
def jobs() -> FakeJobs:
    """A queue, in which sessions can be cancelled."""
    return FakeJobs()


@pytest.fixture
def retries(clock: FakeClock, waits: Waits, jobs: FakeJobs) -> Retries:
    """What is tested."""
    return Retries(jobs=jobs, clock=clock, shutdown=waits, deadline=DEADLINE)


@pytest.fixture
def session() -> Session:
    """A session that begins when the clock does."""
    world = World()
    return world.session(world.start())


# -- the pauses ------------------------------------------------------------------------------


def test_pauses_grow_to_half_a_minute_and_stay_there() -> None:
    assert list(islice(backoffs(), 9)) == [1, 2, 4, 8, 15, 30, 30, 30, 30]


def test_each_row_of_failures_begins_with_the_shortest_pause() -> None:
    first, second = backoffs(), backoffs()

    assert [next(first), next(first), next(second)] == [1, 2, 1]


# -- with_backoff ----------------------------------------------------------------------------


def test_a_call_that_works_is_made_once_and_without_a_wait(
    retries: Retries, session: Session, waits: Waits
) -> None:
    call = Call([])

    assert retries.with_backoff(session, call) == "answer"
    assert (call.count, waits.noted) == (1, [])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("fault", [RetryableError("503"), Unavailable()])
def test_a_call_that_fails_is_repeated_ever_later(
    retries: Retries, session: Session, clock: FakeClock, fault: Exception, count: int
) -> None:
    call = Call([fault] * count)

    assert retries.with_backoff(session, call) == "answer"
    assert call.count == count + 1
    assert clock.seconds == sum([1, 2, 4, 8, 15, 30, 30, 30, 30][:count])


@pytest.mark.parametrize(
    ("asked", "pause"), [(0.5, 0.5), (2.0, 2.0), (7.0, 7.0), (60.0, 60.0), (0.0, 1.0), (None, 1.0)]
)
def test_the_provider_may_say_when_to_repeat_but_not_at_once(
    retries: Retries, session: Session, clock: FakeClock, asked: float | None, pause: float
) -> None:
    assert retries.with_backoff(session, Call([RetryableError("429", asked)])) == "answer"
    assert clock.seconds == pause


def test_what_the_provider_says_counts_for_one_pause(
    retries: Retries, session: Session, clock: FakeClock
) -> None:
    faults = [RetryableError("429", 20.0), RetryableError("503"), Unavailable()]

    retries.with_backoff(session, Call(faults))

    assert clock.seconds == 20 + 2 + 4


@pytest.mark.parametrize(
    "fault",
    [
        PermanentError("photo_rejected", "400"),
        TaskNotFound("404"),
        PaymentRequired("402"),
        FormRefused("field", Inputs("", "")),
        PictureMissing("photo"),
        Cancelled(),
        Interrupted(),
        ValueError("a bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_a_repetition_cannot_help_is_raised_at_once(
    retries: Retries, session: Session, waits: Waits, fault: BaseException
) -> None:
    call = Call([fault])

    with pytest.raises(type(fault)):
        retries.with_backoff(session, call)

    assert (call.count, waits.noted) == (1, [])


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (lambda clock, jobs, session: clock.stop(), Interrupted),
        (lambda clock, jobs, session: jobs.cancel(session.id), Cancelled),
        (lambda clock, jobs, session: None, PermanentError),
    ],
    ids=["the process ends", "cancelled", "deadline"],
)
def test_a_call_is_not_repeated_for_nobody(
    retries: Retries,
    session: Session,
    clock: FakeClock,
    jobs: FakeJobs,
    end: Callable[[FakeClock, FakeJobs, Session], None],
    raised: type[Exception],
) -> None:
    clock.sleep(DEADLINE - 2.5)
    call = Call([RetryableError("503"), RetryableError("503")])
    clock.after(1.5, lambda: end(clock, jobs, session))

    with pytest.raises(raised):
        retries.with_backoff(session, call)

    assert call.count == 2


# -- until_available -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 50, 1000])
def test_a_database_that_is_away_is_asked_every_three_seconds(
    retries: Retries, clock: FakeClock, count: int
) -> None:
    call = Call([Unavailable()] * count)

    assert retries.until_available(call) == "answer"
    assert (call.count, clock.seconds) == (count + 1, 3.0 * count)


@pytest.mark.parametrize(
    "fault", [RetryableError("503"), ValueError("a bug"), PictureMissing("photo"), SystemExit()]
)
def test_only_for_what_is_away_does_it_wait(
    retries: Retries, waits: Waits, fault: BaseException
) -> None:
    with pytest.raises(type(fault)):
        retries.until_available(Call([fault]))

    assert waits.noted == []


@pytest.mark.parametrize("at", [1.0, 10.0, 700.0])
def test_it_waits_until_the_process_is_asked_to_end(
    retries: Retries, clock: FakeClock, at: float
) -> None:
    call = Call([Unavailable()] * 1000)
    clock.after(at, clock.stop)

    with pytest.raises(Interrupted):
        retries.until_available(call)

    assert at <= clock.seconds <= at + 3
    assert call.count == at // 3 + 1


def test_a_call_that_works_is_made_also_while_the_process_is_to_end(
    retries: Retries, clock: FakeClock
) -> None:
    clock.stop()

    assert retries.until_available(Call([])) == "answer"


# -- sleep_unless_cancelled ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (0.0, [0.0]),
        (0.25, [0.25]),
        (3.0, [3.0]),
        (3.5, [3.0, 0.5]),
        (8.0, [3.0, 3.0, 2.0]),
        (60.0, [3.0] * 20),
    ],
)
def test_a_wait_lasts_as_long_as_asked_in_steps_of_three_seconds(
    retries: Retries,
    session: Session,
    clock: FakeClock,
    waits: Waits,
    seconds: float,
    steps: list[float],
) -> None:
    retries.sleep_unless_cancelled(session, seconds)

    assert clock.seconds == seconds
    assert waits.noted == steps


@pytest.mark.parametrize("at", [0.0, 0.5, 10.0, 29.5, 58.0, 59.9])
def test_a_cancellation_is_noticed_within_three_seconds(
    retries: Retries, session: Session, clock: FakeClock, jobs: FakeJobs, at: float
) -> None:
    clock.after(at, lambda: jobs.cancel(session.id))

    with pytest.raises(Cancelled):
        retries.sleep_unless_cancelled(session, 60)

    assert at <= clock.seconds <= at + 3


@pytest.mark.parametrize("at", [0.0, 0.5, 10.0, 29.5, 58.0, 59.9])
def test_that_the_process_ends_is_noticed_within_three_seconds(
    retries: Retries, session: Session, clock: FakeClock, at: float
) -> None:
    clock.after(at, clock.stop)

    with pytest.raises(Interrupted):
        retries.sleep_unless_cancelled(session, 60)

    assert at <= clock.seconds <= at + 3


def test_also_who_need_not_wait_looks_whether_to_go_on(
    retries: Retries, session: Session, clock: FakeClock, jobs: FakeJobs
) -> None:
    jobs.cancel(session.id)
    with pytest.raises(Cancelled):
        retries.sleep_unless_cancelled(session, 0)

    clock.stop()
    with pytest.raises(Interrupted):
        retries.sleep_unless_cancelled(session, 0)

    assert clock.seconds == 0


def test_a_cancellation_of_another_session_is_none_of_ours(
    retries: Retries, session: Session, clock: FakeClock, jobs: FakeJobs
) -> None:
    jobs.cancel("another")

    retries.sleep_unless_cancelled(session, 5)

    assert clock.seconds == 5


@pytest.mark.parametrize("age", [DEADLINE, DEADLINE + 0.1, DEADLINE * 10])
def test_past_its_deadline_a_session_waits_no_more(
    retries: Retries, session: Session, clock: FakeClock, waits: Waits, age: float
) -> None:
    clock.sleep(age)

    with pytest.raises(PermanentError) as raised:
        retries.sleep_unless_cancelled(session, 0)

    assert raised.value.code == "deadline_exceeded"
    assert waits.noted == []


@pytest.mark.parametrize("left", [0.5, 1.0, 3.0, 4.0, 59.0])
def test_a_wait_ends_at_the_deadline_and_not_after_it(
    retries: Retries, session: Session, clock: FakeClock, left: float
) -> None:
    clock.sleep(DEADLINE - left)

    with pytest.raises(PermanentError) as raised:
        retries.sleep_unless_cancelled(session, 60)

    assert raised.value.code == "deadline_exceeded"
    assert clock.seconds == DEADLINE


def test_just_before_the_deadline_a_session_goes_on(
    retries: Retries, session: Session, clock: FakeClock
) -> None:
    clock.sleep(DEADLINE - 0.5)

    retries.sleep_unless_cancelled(session, 0.25)

    assert clock.seconds == DEADLINE - 0.25


@pytest.mark.parametrize("seconds", [0.0, 0.5, 90.0])
def test_a_session_is_as_old_as_the_time_since_it_was_made(
    retries: Retries, session: Session, clock: FakeClock, seconds: float
) -> None:
    clock.sleep(seconds)

    assert retries.age(session) == seconds
