"""What each fault of the provider leads to: docs/operations.md, row by row, for the rules."""

from collections.abc import Sequence
from typing import Any

import pytest
from fakes import RESULT_URL, World

from vton.tryon.model import ProviderTask, Status
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    PermanentError,
    Progress,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.retries import BACKOFF_SECONDS
from vton.tryon.runner import NOT_FOUND_SECONDS, PICTURES

RUNNING, DONE = Progress(), Progress(RESULT_URL)
FAILED = Progress(failure="provider_failed")
NOT_CHARGED = Progress(failure="provider_failed", charged=False)
OTHER_FORM = Inputs("photo", "garment", "the other form")


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def run(world: World) -> str:
    """Run a new session to its end. Return its id."""
    session_id = world.start()
    world.runner.run(session_id)
    return session_id


def ended(world: World, session_id: str) -> str:
    """How a session ended: success, or its code; polls are told the same."""
    session, told = world.session(session_id), world.told(session_id)
    assert told is not None
    assert (told.status, told.error_code) == (session.status, session.error_code)
    return session.error_code or session.status.value


SUBMITS: dict[str, tuple[list[Any], str, list[str]]] = {
    "taken at once": ([], "success", ["accepted"]),
    "away, then taken": ([RetryableError("503")], "success", ["not_accepted", "accepted"]),
    "away four times": (
        [RetryableError("no connection")] * 4, "success", ["not_accepted"] * 4 + ["accepted"],
    ),
    "another form wanted": (
        [FormRefused("field", OTHER_FORM)], "success", ["not_accepted", "accepted"],
    ),
    "both forms refused": (
        [FormRefused("field", OTHER_FORM), PermanentError("photo_rejected", "400")],
        "photo_rejected", ["not_accepted"] * 2,
    ),
    "no money, then money": ([PaymentRequired("402")], "success", ["not_accepted", "accepted"]),
    "the photo is refused": (
        [PermanentError("photo_rejected", "400")], "photo_rejected", ["not_accepted"],
    ),
    "the account is refused": (
        [PermanentError("provider_unavailable", "401")], "provider_unavailable", ["not_accepted"],
    ),
    "nobody knows whether it was taken": (
        [PermanentError("provider_uncertain", "504")], "provider_uncertain", ["uncertain"],
    ),
    "a fault of ours": ([ValueError("bug")], "interrupted", ["uncertain"]),
    "away, then refused": (
        [RetryableError("503"), PermanentError("photo_rejected", "400")],
        "photo_rejected", ["not_accepted"] * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUBMITS)
def test_what_a_submit_leads_to(world: World, name: str) -> None:
    answers, outcome, ledger = SUBMITS[name]
    world.provider.submit_answers = list(answers)

    session_id = run(world)

    assert ended(world, session_id) == outcome
    assert world.outcomes(session_id) == ledger
    assert len(world.provider.submitted) == len(ledger)


STATUSES: dict[str, tuple[list[Any], str, list[str]]] = {
    "running, then done": ([RUNNING, RUNNING, DONE], "success", ["accepted"]),
    "done at once": ([DONE], "success", ["accepted"]),
    "failed": ([FAILED], "provider_failed", ["accepted"]),
    "failed for the photo": (
        [Progress(failure="photo_rejected")], "photo_rejected", ["accepted"],
    ),
    "done without a picture": (
        [Progress(failure="result_unusable")], "result_unusable", ["accepted"],
    ),
    "ERROR, then done": ([NOT_CHARGED, DONE], "success", ["accepted"] * 2),
    "ERROR twice": ([NOT_CHARGED, NOT_CHARGED], "provider_failed", ["accepted"] * 2),
    "ERROR, then failed": ([NOT_CHARGED, FAILED], "provider_failed", ["accepted"] * 2),
    "unknown for a moment": (
        [TaskNotFound("404"), TaskNotFound("404"), DONE], "success", ["accepted"],
    ),
    "unknown for good": ([TaskNotFound("404")] * 30, "provider_failed", ["accepted"]),
    "away, then done": ([RetryableError("500")] * 5 + [DONE], "success", ["accepted"]),
    "the key is refused": (
        [PermanentError("provider_unavailable", "401")], "provider_unavailable", ["accepted"],
    ),
    "a fault of ours": ([KeyError("bug")], "interrupted", ["accepted"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STATUSES)
def test_what_a_status_leads_to(world: World, name: str) -> None:
    answers, outcome, ledger = STATUSES[name]
    world.provider.poll_answers = list(answers)

    session_id = run(world)

    assert ended(world, session_id) == outcome
    assert world.outcomes(session_id) == ledger


def test_an_error_is_noted_as_not_charged(world: World) -> None:
    world.provider.poll_answers = [NOT_CHARGED, NOT_CHARGED]

    session_id = run(world)

    charged = [s.charged for s in world.database.ledger.values() if s.session_id == session_id]
    assert charged == [False, False]


def test_a_task_may_be_unknown_for_half_a_minute(world: World) -> None:
    world.provider.poll_answers = [TaskNotFound("404")] * 30

    run(world)

    assert NOT_FOUND_SECONDS < world.clock.seconds < NOT_FOUND_SECONDS + 12


RESULTS: dict[str, tuple[list[Any], str]] = {
    "there": ([b"png"], "success"),
    "long away": ([RetryableError("503")] * 6 + [b"png"], "success"),
    "no picture": ([PermanentError("result_unusable", "text")], "result_unusable"),
    "gone for good": ([RetryableError("404")] * 300, "deadline_exceeded"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_result_leads_to(world: World, name: str) -> None:
    answers, outcome = RESULTS[name]
    world.provider.downloads = list(answers)

    session_id = run(world)

    assert ended(world, session_id) == outcome
    assert (session_path(world, session_id) in world.bucket.objects) == (outcome == "success")
    assert len(world.provider.submitted) == 1


def session_path(world: World, session_id: str) -> str:
    """Where a session's result lies."""
    return world.session(session_id).result_path


def test_slots_for_pictures_are_given_back_whatever_happens(world: World) -> None:
    world.provider.downloads = [RetryableError("503")] * 5 + [PermanentError("result_unusable", "")]
    run(world)
    for _ in range(PICTURES + 1):
        assert ended(world, run(world)) == "success"


@pytest.mark.parametrize(
    ("answers", "pauses"),
    [
        ([RetryableError("503")] * 8, (*BACKOFF_SECONDS, 30.0, 30.0)),
        ([RetryableError("429", 7.0)] * 2, (7.0, 7.0)),
        ([RetryableError("429", 50.0)], (50.0,)),
    ],
)
@pytest.mark.parametrize("step", ["submit_answers", "poll_answers", "downloads"])
def test_failed_calls_are_repeated_ever_later_or_when_they_say(
    world: World, step: str, answers: list[Any], pauses: Sequence[float]
) -> None:
    world.provider.takes = 0
    setattr(world.provider, step, list(answers))

    session_id = run(world)

    assert ended(world, session_id) == "success"
    assert world.clock.seconds == pytest.approx(5.0 + sum(pauses))


def test_the_provider_is_asked_five_seconds_after_the_submit_and_every_three(world: World) -> None:
    world.provider.takes = 14

    run(world)

    assert world.clock.seconds == 5 + 3 * 3
    assert len(world.provider.polled) == 4


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_no_money_pauses_and_the_session_waits(world: World, status: Status) -> None:
    world.provider.submit_answers = [PaymentRequired("402"), PaymentRequired("402")]

    session_id = run(world)

    assert world.circuit_breaker.trips == 2
    assert world.circuit_breaker.closes == 1
    assert world.clock.seconds >= 120
    assert ended(world, session_id) == "success"


def test_while_the_breaker_is_open_nothing_is_submitted(world: World) -> None:
    session_id = world.start()
    world.circuit_breaker.open_until = 100
    world.clock.after(99, lambda: world.provider.submitted and pytest.fail("too early"))

    world.runner.run(session_id)

    assert len(world.provider.submitted) == 1


def test_the_days_cap_ends_a_session_that_waited() -> None:
    world = World(paid_cap=1)
    first, second = run(world), run(world)

    assert ended(world, first) == "success"
    assert ended(world, second) == "paid_cap_reached"
    assert len(world.provider.submitted) == 1


def test_a_task_of_a_provider_that_is_not_set_up_any_more_fails(world: World) -> None:
    world.provider.submit_answers = [ProviderTask("another", "t1", None)]

    assert ended(world, run(world)) == "provider_failed"


def test_a_garment_that_was_removed_costs_nothing(world: World) -> None:
    session_id = world.start()
    world.database.garments.clear()

    world.runner.run(session_id)

    assert ended(world, session_id) == "garment_missing"
    assert world.provider.submitted == []


@pytest.mark.parametrize("step", ["submit_answers", "poll_answers", "downloads"])
def test_a_deadline_ends_whatever_goes_on(world: World, step: str) -> None:
    setattr(world.provider, step, [RetryableError("away")] * 1000)

    session_id = run(world)

    assert ended(world, session_id) == "deadline_exceeded"
    least = 450 if step == "submit_answers" else 600  # what would be too late is not paid
    assert least <= world.clock.seconds < 610


def test_a_session_past_its_deadline_is_not_submitted(world: World) -> None:
    session_id = world.start()
    world.clock.sleep(601)

    world.runner.run(session_id)

    assert ended(world, session_id) == "deadline_exceeded"
    assert world.provider.submitted == []
