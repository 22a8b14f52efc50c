"""The paid call: once for a session, never without a claim, and its outcome in the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes import World

from vton.errors import Unavailable
from vton.tryon.model import ProviderTask, Session
from vton.tryon.ports.database import Outcome
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    PermanentError,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.storage import PictureMissing
from vton.tryon.retries import Cancelled, Interrupted

FIRST_POLL, POLL_INTERVAL = 5.0, 3.0
"""What `World` has its submitter wait."""
CLAIM_SECONDS = 25.0
TASK = ProviderTask("fake", "task of another run", None)
OTHER_FORM = Inputs("photo", "garment", "the other form")


class Crash(BaseException):
    """Ends a run as the end of its process would, but for the handlers on its way."""


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def claimed(world: World) -> Session:
    """Return a new session that a run has begun."""
    session: Session = world.sessions.claim(world.start())
    return session


def submit(world: World, session: Session) -> ProviderTask:
    """Submit a session."""
    return world.submitter.submit(session, lambda *_: None)


def submit_times(world: World, count: int) -> list[float]:
    """Return a list that each of the next `count` submits adds its time to."""
    times: list[float] = []
    world.spoil("vendor.submit", lambda: times.append(world.clock.seconds), times=count)
    return times


def held_by_another(world: World, session: Session, age: float = 0.0) -> str:
    """Have another run claim a session's submit, some seconds ago. Return its attempt."""
    world.database.claim_submit(session.id, "another", 0)
    world.database.ledger["another"].at -= timedelta(seconds=age)
    return "another"


# -- a submit that is accepted ---------------------------------------------------------------


def test_a_submit_returns_its_task_and_records_it(world: World) -> None:
    session = claimed(world)

    task = submit(world, session)

    assert task == ProviderTask("fake", "task-1", None)
    assert world.database.tasks == {session.id: task}
    (row,) = world.database.ledger.values()
    assert (row.session_id, row.outcome, row.task_id) == (session.id, "accepted", "task-1")


def test_a_submit_has_the_sessions_photo_and_its_garments_picture(world: World) -> None:
    world.add_garment(world.garment_id, "https://shop.example/shirt.jpg")
    session = claimed(world)

    submit(world, session)

    garment = "https://shop.example/shirt.jpg"
    assert world.provider.prepared == [(session.photo, garment)]
    assert world.provider.submitted == [Inputs(f"photo {session.photo}", f"garment {garment}")]


def test_a_claim_comes_before_the_call_and_the_record_right_after_it(world: World) -> None:
    session = claimed(world)
    ledger: list[tuple[float, list[str]]] = []

    def note() -> None:
        ledger.append((world.clock.seconds, world.outcomes(session.id)))

    world.spoil("vendor.submit", note)
    world.spoil("sessions.record_outcome", note)
    world.spoil("sessions.record_outcome", note, after=True)
    world.clock.after(0.5, note)

    submit(world, session)

    assert ledger == [(0.0, ["open"]), (0.0, ["open"]), (0.5, ["accepted"])]


def test_a_run_waits_for_the_first_poll_after_its_task_was_reported(world: World) -> None:
    steps: list[tuple[str, str | None, float, bool]] = []
    session = claimed(world)

    world.submitter.submit(
        session,
        lambda step, task: steps.append(
            (step, task, world.clock.seconds, session.id in world.database.tasks)
        ),
    )

    assert steps == [("submitting", None, 0.0, False), ("waiting", "task-1", 0.0, True)]
    assert world.clock.seconds == FIRST_POLL


def test_an_accepted_submit_closes_the_breaker(world: World) -> None:
    submit(world, claimed(world))

    assert (world.circuit_breaker.trips, world.circuit_breaker.closes) == (0, 1)


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (lambda world, session: world.clock.stop(), Interrupted),
        (lambda world, session: world.queue.cancel(session.id), Cancelled),
        (lambda world, session: None, PermanentError),
    ],
    ids=["the process ends", "cancelled", "deadline"],
)
def test_what_ends_the_wait_for_the_first_poll_does_not_lose_the_task(
    world: World, end: Callable[[World, Session], None], raised: type[Exception]
) -> None:
    world.submitter = replace(world.submitter, first_poll=200.0)
    session = claimed(world)
    world.clock.sleep(440)
    world.clock.after(2, lambda: end(world, session))

    with pytest.raises(raised):
        submit(world, session)

    assert world.outcomes(session.id) == ["accepted"]
    assert world.database.tasks[session.id].id == "task-1"


# -- a submit that is not accepted -----------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "times"),
    [
        ([RetryableError("503")], [0, 1]),
        ([RetryableError("503")] * 3, [0, 1, 3, 7]),
        ([RetryableError("503")] * 8, [0, 1, 3, 7, 15, 30, 60, 90, 120]),
        ([RetryableError("429", 7.0)], [0, 7]),
        ([RetryableError("429", 90.0)] * 2, [0, 90, 180]),
        ([RetryableError("429", 0.0)], [0, 1]),
        ([RetryableError("429", 20.0), RetryableError("503")], [0, 20, 22]),
        ([FormRefused("field", OTHER_FORM)], [0, 0]),
        ([PaymentRequired("402")], [0, 120]),
        ([PaymentRequired("402")] * 3, [0, 120, 240, 360]),
    ],
)
def test_when_a_submit_that_was_not_accepted_is_made_again(
    world: World, answers: Sequence[Exception], times: list[float]
) -> None:
    world.provider.submit_answers = list(answers)
    made = submit_times(world, len(times))
    session = claimed(world)

    task = submit(world, session)

    assert made == times
    assert world.outcomes(session.id) == ["not_accepted"] * len(answers) + ["accepted"]
    assert world.database.tasks == {session.id: task}
    assert len(world.provider.prepared) == 1


def test_the_other_form_is_kept_once_the_first_was_refused(world: World) -> None:
    world.provider.submit_answers = [FormRefused("field", OTHER_FORM), RetryableError("503")]
    session = claimed(world)

    submit(world, session)

    first, *others = world.provider.submitted
    assert first.forms == ()
    assert others == [OTHER_FORM, OTHER_FORM]


def test_a_repeated_submit_has_the_same_pictures(world: World) -> None:
    world.provider.submit_answers = [RetryableError("503"), PaymentRequired("402")]

    submit(world, claimed(world))

    assert len(world.provider.submitted) == 3
    assert len(set(world.provider.submitted)) == 1


@pytest.mark.parametrize(
    "fault",
    [RetryableError("503", 30.0), PaymentRequired("402")],
    ids=lambda fault: type(fault).__name__,
)
def test_while_a_session_waits_to_submit_again_nothing_claims_it(
    world: World, fault: Exception
) -> None:
    world.provider.submit_answers = [fault]
    session = claimed(world)
    claims: list[bool] = []
    world.clock.after(10, lambda: claims.append(session.id in world.database.claims))

    submit(world, session)

    assert claims == [False]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_for_want_of_money_the_breaker_trips_each_time(world: World, count: int) -> None:
    world.provider.submit_answers = [PaymentRequired("402")] * count
    session = claimed(world)

    submit(world, session)

    assert (world.circuit_breaker.trips, world.circuit_breaker.closes) == (count, 1)


def test_who_tripped_the_breaker_leaves_the_probe_to_the_others(world: World) -> None:
    world.provider.submit_answers = [PaymentRequired("402")]
    session = claimed(world)
    made = submit_times(world, 2)
    world.clock.after(70, world.circuit_breaker.close)  # another's was accepted

    submit(world, session)

    assert made[0] == 0
    assert 70 <= made[1] < 75


def test_who_is_refused_for_money_while_others_are_taken_fails_alone(world: World) -> None:
    world.provider.submit_answers = [PaymentRequired("403"), PaymentRequired("403")]
    session = claimed(world)
    world.clock.after(70, world.circuit_breaker.close)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "provider_failed"
    assert world.circuit_breaker.trips == 1
    assert world.outcomes(session.id) == ["not_accepted"] * 2


@pytest.mark.parametrize(
    "fault",
    [
        RetryableError("503"),
        FormRefused("field", OTHER_FORM),
        PermanentError("photo_rejected", "400"),
        PermanentError("provider_unavailable", "401"),
        PermanentError("provider_uncertain", "504"),
        ValueError("a bug"),
    ],
    ids=lambda fault: getattr(fault, "code", type(fault).__name__),
)
def test_the_breaker_trips_for_nothing_else_and_is_closed_by_nothing_else(
    world: World, fault: Exception
) -> None:
    world.provider.submit_answers = [fault]
    world.spoil("vendor.submit", lambda: None)
    world.spoil("vendor.submit", Crash())  # of a second call

    with pytest.raises((PermanentError, ValueError, Crash)):
        submit(world, claimed(world))

    assert (world.circuit_breaker.trips, world.circuit_breaker.closes) == (0, 0)


# -- a submit that fails for good ------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("photo_rejected", "not_accepted"),
        ("provider_unavailable", "not_accepted"),
        ("provider_failed", "not_accepted"),
        ("garment_missing", "not_accepted"),
        ("result_unusable", "not_accepted"),
        ("interrupted", "not_accepted"),
        ("provider_uncertain", "uncertain"),
    ],
)
def test_only_an_uncertain_refusal_counts_as_paid(world: World, code: str, outcome: str) -> None:
    world.provider.submit_answers = [PermanentError(code, "a refusal")]
    session = claimed(world)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == code
    assert world.outcomes(session.id) == [outcome]
    assert (session.id in world.database.claims) == (outcome == "uncertain")
    assert len(world.provider.submitted) == 1


@pytest.mark.parametrize(
    "fault",
    [ValueError("a bug"), KeyError("x"), TaskNotFound("404"), Unavailable(), TimeoutError()],
    ids=lambda fault: type(fault).__name__,
)
def test_what_nobody_expected_is_uncertain_and_never_repeated(
    world: World, fault: Exception
) -> None:
    world.provider.submit_answers = [fault]
    session = claimed(world)

    with pytest.raises(type(fault)):
        submit(world, session)

    assert world.outcomes(session.id) == ["uncertain"]
    assert session.id in world.database.claims
    assert len(world.provider.submitted) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("end", [Crash(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_an_end_in_the_middle_of_the_call_is_uncertain_at_once(
    world: World, end: BaseException, after: bool
) -> None:
    session = claimed(world)
    world.spoil("vendor.submit", end, after=after)

    with pytest.raises(type(end)):
        submit(world, session)

    assert world.outcomes(session.id) == ["uncertain"]


# -- the record ------------------------------------------------------------------------------

ANSWERS: list[tuple[Exception | None, str]] = [
    (None, "accepted"),
    (PermanentError("photo_rejected", "400"), "not_accepted"),
    (PermanentError("provider_uncertain", "504"), "uncertain"),
    (ValueError("a bug"), "uncertain"),
]
WORDS = ["accepted", "refused", "uncertain", "a bug"]


def answer_once(world: World, fault: Exception | None) -> None:
    """Have the next submit be accepted, or fail."""
    if fault:
        world.provider.submit_answers = [fault]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 2, 40])
@pytest.mark.parametrize(("fault", "outcome"), ANSWERS, ids=WORDS)
def test_an_outcome_is_recorded_as_soon_as_the_database_is_back(
    world: World, fault: Exception | None, outcome: str, times: int, after: bool
) -> None:
    answer_once(world, fault)
    session = claimed(world)
    world.spoil("sessions.record_outcome", times=times, after=after)
    seen: list[float] = []
    world.spoil("sessions.record_outcome", lambda: seen.append(world.clock.seconds))

    if fault:
        with pytest.raises(type(fault)):
            submit(world, session)
    else:
        submit(world, session)

    assert world.outcomes(session.id) == [outcome]
    assert seen == [3.0 * times]
    assert len(world.provider.submitted) == 1


@pytest.mark.parametrize("times", [0, 1, 9])
@pytest.mark.parametrize(("fault", "outcome"), ANSWERS, ids=WORDS)
def test_an_outcome_is_recorded_also_while_the_process_is_to_end(
    world: World, fault: Exception | None, outcome: str, times: int
) -> None:
    answer_once(world, fault)
    session = claimed(world)
    world.spoil("vendor.submit", world.clock.stop)
    world.spoil("sessions.record_outcome", times=times)

    with pytest.raises((Interrupted, PermanentError, ValueError)):
        submit(world, session)

    assert world.outcomes(session.id) == [outcome]
    assert world.clock.seconds == times


@pytest.mark.parametrize(("fault", "outcome"), ANSWERS, ids=WORDS)
def test_a_process_that_is_to_end_gives_up_after_ten_tries_a_second_apart(
    world: World, fault: Exception | None, outcome: str
) -> None:
    answer_once(world, fault)
    session = claimed(world)
    world.spoil("vendor.submit", world.clock.stop)
    tries: list[float] = []

    def away() -> None:
        tries.append(world.clock.seconds)
        raise Unavailable

    world.spoil("sessions.record_outcome", away, times=100)

    with pytest.raises(Interrupted):
        submit(world, session)

    assert tries == [float(n) for n in range(10)]
    assert world.outcomes(session.id) == ["open"]


def test_the_ten_tries_begin_when_the_process_is_asked_to_end(world: World) -> None:
    session = claimed(world)
    world.clock.after(100, world.clock.stop)
    tries: list[float] = []

    def away() -> None:
        tries.append(world.clock.seconds)
        raise Unavailable

    world.spoil("sessions.record_outcome", away, times=1000)

    with pytest.raises(Interrupted):
        submit(world, session)

    assert len([at for at in tries if at > 100]) == 9
    assert world.clock.seconds <= 100 + 3 + 10


def test_neither_a_cancellation_nor_the_deadline_keeps_an_outcome_from_the_ledger(
    world: World,
) -> None:
    session = claimed(world)
    world.spoil("vendor.submit", lambda: world.queue.cancel(session.id))
    world.spoil("sessions.record_outcome", times=300)

    with pytest.raises(PermanentError):
        submit(world, session)

    assert world.clock.seconds > 600
    assert world.outcomes(session.id) == ["accepted"]


# -- the claim -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (lambda world, session: world.clock.stop(), Interrupted),
        (lambda world, session: world.queue.cancel(session.id), Cancelled),
        (lambda world, session: world.database.fail(session.id, "interrupted"), Cancelled),
        (lambda world, session: world.database.succeed(session.id, "path"), Cancelled),
        (lambda world, session: world.database.delete(session.id, world.user_id), Cancelled),
    ],
    ids=["the process ends", "cancelled", "failed", "succeeded", "deleted"],
)
@pytest.mark.parametrize("when", ["vendor.prepare", "a pause"])
def test_a_session_that_is_not_to_go_on_is_not_submitted(
    world: World, when: str, end: Callable[[World, Session], object], raised: type[Exception]
) -> None:
    session = claimed(world)
    before = 0
    if when == "a pause":
        world.provider.submit_answers = [RetryableError("503", 10.0)]
        world.clock.after(5, lambda: end(world, session))
        before = 1
    else:
        world.spoil(when, lambda: end(world, session))

    with pytest.raises(raised):
        submit(world, session)

    assert len(world.provider.submitted) == before
    assert world.outcomes(session.id) == ["not_accepted"] * before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_claim_whose_answer_is_lost_is_the_same_claim(
    world: World, times: int, after: bool
) -> None:
    session = claimed(world)
    world.spoil("sessions.claim_submit", times=times, after=after)

    submit(world, session)

    assert world.outcomes(session.id) == ["accepted"]
    assert world.clock.seconds == sum([1, 2, 4, 8, 15][:times]) + FIRST_POLL


@pytest.mark.parametrize("age", [0.0, 10.0, 24.0, 25.0])
def test_a_claim_of_another_run_is_waited_for_until_that_must_have_ended(
    world: World, age: float
) -> None:
    session = claimed(world)
    held_by_another(world, session, age)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "provider_uncertain"
    assert CLAIM_SECONDS < world.clock.seconds + age <= CLAIM_SECONDS + 1
    assert world.provider.submitted == []
    assert world.outcomes(session.id) == ["open"]


@pytest.mark.parametrize("age", [25.5, 60.0, 500.0])
def test_an_old_claim_is_not_waited_for(world: World, age: float) -> None:
    session = claimed(world)
    held_by_another(world, session, age)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "provider_uncertain"
    assert world.clock.seconds == 0


@pytest.mark.parametrize("at", [1.0, 11.0, 20.0, 24.5])
def test_the_task_of_the_run_that_has_the_claim_is_taken_up(world: World, at: float) -> None:
    session = claimed(world)
    attempt = held_by_another(world, session)
    world.clock.after(at, lambda: world.database.record_outcome(attempt, Outcome.ACCEPTED, TASK))

    assert submit(world, session) == TASK
    assert at <= world.clock.seconds <= at + POLL_INTERVAL
    assert world.provider.submitted == []
    assert world.circuit_breaker.closes == 0
    assert world.outcomes(session.id) == ["accepted"]


@pytest.mark.parametrize("at", [1.0, 11.0, 20.0, 24.5])
def test_a_claim_that_came_to_nothing_lets_the_next_one_through(world: World, at: float) -> None:
    session = claimed(world)
    attempt = held_by_another(world, session)
    world.clock.after(at, lambda: world.database.record_outcome(attempt, Outcome.NOT_ACCEPTED))

    assert submit(world, session).id == "task-1"
    assert at <= world.clock.seconds - FIRST_POLL <= at + POLL_INTERVAL
    assert world.outcomes(session.id) == ["not_accepted", "accepted"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_task_that_is_there_already_is_returned_without_a_wait(
    world: World, times: int, after: bool
) -> None:
    session = claimed(world)
    attempt = held_by_another(world, session)
    world.database.record_outcome(attempt, Outcome.ACCEPTED, TASK)
    world.spoil("sessions.task", times=times, after=after)

    assert submit(world, session) == TASK
    assert world.clock.seconds == sum([1, 2, 4][:times])
    assert world.provider.submitted == []


def test_a_task_that_goes_before_it_is_read_lets_the_run_submit(world: World) -> None:
    session = claimed(world)
    attempt = held_by_another(world, session)
    world.database.record_outcome(attempt, Outcome.ACCEPTED, TASK)
    world.spoil("sessions.task", lambda: world.database.allow_one_resubmit(session.id, TASK.id))

    assert submit(world, session).id == "task-1"
    assert world.outcomes(session.id) == ["accepted", "accepted"]
    assert len(world.provider.submitted) == 1


def test_a_session_that_goes_before_its_task_is_read_is_not_submitted(world: World) -> None:
    session = claimed(world)
    attempt = held_by_another(world, session)
    world.database.record_outcome(attempt, Outcome.ACCEPTED, TASK)
    world.spoil("sessions.task", lambda: world.database.delete(session.id, world.user_id))

    with pytest.raises(Cancelled):
        submit(world, session)

    assert world.provider.submitted == []


@pytest.mark.parametrize(("cap", "spent"), [(1, 1), (2, 2), (3, 5)])
def test_at_the_days_cap_nothing_is_submitted(cap: int, spent: int) -> None:
    world = World(paid_cap=cap)
    session = claimed(world)
    for n in range(spent):
        other = claimed(world)
        world.database.claim_submit(other.id, f"other {n}", 0)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "paid_cap_reached"
    assert world.provider.submitted == []
    assert world.outcomes(session.id) == []


def test_the_cap_may_be_reached_while_a_session_waits_to_submit_again() -> None:
    world = World(paid_cap=1)
    session, other = claimed(world), claimed(world)
    world.provider.submit_answers = [RetryableError("503", 10.0)]
    world.clock.after(5, lambda: world.database.claim_submit(other.id, "other", 1))

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "paid_cap_reached"
    assert world.outcomes(session.id) == ["not_accepted"]


def test_what_was_not_accepted_does_not_count_for_the_cap() -> None:
    world = World(paid_cap=1)
    world.provider.submit_answers = [RetryableError("503")] * 3
    session = claimed(world)

    submit(world, session)

    assert world.outcomes(session.id) == ["not_accepted"] * 3 + ["accepted"]


# -- the circuit breaker ---------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 50.0])
def test_a_submit_waits_until_the_breaker_allows_it(world: World, seconds: float) -> None:
    session = claimed(world)
    world.circuit_breaker.open_until = seconds
    made = submit_times(world, 1)

    submit(world, session)

    assert made == [seconds]


def test_a_breaker_that_is_closed_early_is_noticed_within_three_seconds(world: World) -> None:
    session = claimed(world)
    world.circuit_breaker.open_until = 300
    world.clock.after(10, world.circuit_breaker.close)
    made = submit_times(world, 1)

    submit(world, session)

    assert 10 <= made[0] <= 13


def test_what_waits_for_the_breaker_has_claimed_nothing(world: World) -> None:
    session = claimed(world)
    world.circuit_breaker.open_until = 1000
    world.clock.after(40, world.clock.stop)

    with pytest.raises(Interrupted):
        submit(world, session)

    assert world.database.ledger == {}


def test_the_breaker_is_asked_before_every_submit(world: World) -> None:
    session = claimed(world)
    world.provider.submit_answers = [RetryableError("503", 10.0)]
    world.clock.after(5, lambda: world.circuit_breaker.trip("another"))
    made = submit_times(world, 2)

    submit(world, session)

    assert made == [0, 65]


# -- the pictures ----------------------------------------------------------------------------


def test_without_its_garment_a_session_is_not_submitted(world: World) -> None:
    session = replace(claimed(world), garment=None)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "garment_missing"
    assert world.provider.prepared == []
    assert world.database.ledger == {}


@pytest.mark.parametrize("times", [1, 5, 20])
def test_a_photo_that_is_on_its_way_is_looked_for_every_three_seconds(
    world: World, times: int
) -> None:
    session = claimed(world)
    world.spoil("vendor.prepare", PictureMissing(session.photo), times=times)
    made = submit_times(world, 1)

    submit(world, session)

    assert made == [3.0 * times]


@pytest.mark.parametrize(("age", "waits"), [(59.0, True), (60.0, True), (60.5, False)])
def test_a_photo_is_on_its_way_for_a_minute_at_most(world: World, age: float, waits: bool) -> None:
    session = claimed(world)
    world.clock.sleep(age)
    world.spoil("vendor.prepare", PictureMissing(session.photo), times=100)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "interrupted"
    assert (world.clock.seconds > age) == waits
    assert world.clock.seconds <= 63
    assert world.database.ledger == {}


def test_any_other_picture_is_not_waited_for(world: World) -> None:
    session = claimed(world)
    world.spoil("vendor.prepare", PictureMissing("garments/shirt.png"))

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "garment_missing"
    assert world.clock.seconds == 0


@pytest.mark.parametrize(
    "fault", [Unavailable(), RetryableError("503")], ids=lambda fault: type(fault).__name__
)
@pytest.mark.parametrize("times", [1, 4])
def test_pictures_that_cannot_be_prepared_now_are_prepared_later(
    world: World, fault: Exception, times: int
) -> None:
    session = claimed(world)
    world.spoil("vendor.prepare", fault, times=times)
    made = submit_times(world, 1)

    submit(world, session)

    assert made == [sum([1, 2, 4, 8][:times])]


# -- deadlines -------------------------------------------------------------------------------


def test_whose_deadline_passes_while_its_pictures_are_prepared_claims_nothing(
    world: World,
) -> None:
    session = claimed(world)
    world.spoil("vendor.prepare", lambda: world.clock.sleep(600), after=True)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "deadline_exceeded"
    assert world.database.ledger == {}


@pytest.mark.parametrize(
    "answers",
    [
        [RetryableError("503")] * 100,
        [RetryableError("429", 200.0)] * 100,
        [PaymentRequired("402")] * 100,
    ],
    ids=["503", "429", "402"],
)
def test_nothing_is_submitted_that_would_not_be_there_in_time(
    world: World, answers: list[Any]
) -> None:
    """Nothing in the last quarter of a session's time: it would be paid, and most likely lost."""
    world.provider.submit_answers = answers
    session = claimed(world)
    made = submit_times(world, 100)

    with pytest.raises(PermanentError) as raised:
        submit(world, session)

    assert raised.value.code == "deadline_exceeded"
    assert 450 < world.clock.seconds <= 600
    assert max(made) <= 450
    assert set(world.outcomes(session.id)) == {"not_accepted"}


def test_the_last_moment_to_submit_is_taken(world: World) -> None:
    session = claimed(world)
    world.clock.sleep(450)

    submit(world, session)

    assert world.outcomes(session.id) == ["accepted"]


@pytest.mark.parametrize("seconds", [4.5, 30.0, 3000.0])
def test_a_run_that_stood_still_behind_its_claim_does_not_pay(world: World, seconds: float) -> None:
    """Meanwhile another run may have taken the claim for a dead one's, and told the user so."""
    session = claimed(world)
    slow = world.clock.sleep
    world.spoil("sessions.claim_submit", lambda: slow(seconds), after=True)
    if seconds > 25:
        world.spoil("sessions.claim_submit", lambda: world.database.fail(session.id, "interrupted"))

    if seconds > 25:
        with pytest.raises((Cancelled, PermanentError)):
            submit(world, session)
        assert world.provider.submitted == []
        assert world.outcomes(session.id) == ["not_accepted"]
    else:
        submit(world, session)
        assert world.outcomes(session.id) == ["not_accepted", "accepted"]


def test_a_claim_whose_answer_was_lost_for_long_is_made_anew(world: World) -> None:
    """By the ledger's clock it is as old as its first answer."""
    session = claimed(world)
    world.spoil("sessions.claim_submit", times=5, after=True)

    submit(world, session)

    assert world.outcomes(session.id) == ["not_accepted", "accepted"]
    assert len(world.provider.submitted) == 1


def test_who_is_refused_for_money_is_counted_for_it(world: World) -> None:
    """A picture may be refused in words like these; else one account could pause all, unpaid."""
    world.provider.submit_answers = [PaymentRequired("403")]

    submit(world, claimed(world))

    assert [submit.refused for submit in world.database.ledger.values()] == [True, False]
