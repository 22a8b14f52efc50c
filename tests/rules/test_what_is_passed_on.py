"""What the rules hand on to the world, and what they say of it: nothing is left out or mixed up."""

from datetime import timedelta
from uuid import uuid4

import pytest
from fakes import RESULT_URL, START, World

from vton.errors import CATALOGUE, REASONS, Problem, Reason
from vton.tryon.model import SessionState, Status, failed
from vton.tryon.ports.database import Limits
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    Progress,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def test_the_provider_gets_this_sessions_photo_and_garment(world: World) -> None:
    session_id = world.start()
    session = world.session(session_id)

    world.runner.run(session_id)

    assert world.provider.prepared == [(session.photo, "garments/shirt.png")]
    assert world.provider.submitted == [
        Inputs(f"photo {session.photo}", "garment garments/shirt.png")
    ]
    assert world.provider.downloaded == [RESULT_URL]


def test_another_form_is_the_one_that_was_named(world: World) -> None:
    other = Inputs("p", "g", "the other form")
    world.provider.submit_answers = [FormRefused("field", other)]

    world.runner.run(world.start())

    assert world.provider.submitted[1] == other


def test_pictures_are_stored_as_what_they_are(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)

    session = world.session(session_id)
    assert world.bucket.content_types == {
        session.photo: "image/jpeg", session.result: "image/png",
    }  # fmt: skip
    assert world.queue.enqueued_for == [world.user_id]
    assert world.photos.owners == [world.user_id]


def test_no_money_is_an_alarm(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.provider.submit_answers = [PaymentRequired("402 'Insufficient Balance'")]

    world.runner.run(world.start())

    (alarm,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert alarm.getMessage() == (
        "ALARM the provider wants money, submits pause: 402 'Insufficient Balance'"
    )


def test_why_a_session_failed_is_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.provider.poll_answers = [Progress(failure="photo_rejected")]
    session_id = world.start()

    world.runner.run(session_id)

    assert "photo_rejected: task task-1 failed" in caplog.messages


def test_every_step_names_its_task(world: World) -> None:
    steps: list[tuple[str, str | None]] = []
    not_charged = Progress(failure="provider_failed", charged=False)
    world.provider.poll_answers = [Progress(), not_charged]

    world.runner.run(world.start(), lambda step, task: steps.append((step, task)))

    assert steps == [
        ("submitting", None), ("waiting", "task-1"), ("waiting", "task-1"), ("waiting", "task-1"),
        ("submitting", None), ("waiting", "task-2"), ("waiting", "task-2"), ("waiting", "task-2"),
        ("waiting", "task-2"), ("fetching", None), ("storing", None),
    ]  # fmt: skip


def test_polls_learn_when_a_session_was_made_and_begun(world: World) -> None:
    session_id = world.start()
    world.clock.sleep(7)

    world.runner.run(session_id)

    made = START.timestamp()
    assert world.polls.told[0] == SessionState(Status.PROCESSING, queued_at=made, began_at=made + 7)


def test_a_failure_is_told_in_the_catalogues_words() -> None:
    state = failed("photo_rejected")

    assert state == SessionState(Status.FAILED, "photo_rejected")
    assert state.failure is not None
    assert state.failure.message == CATALOGUE["photo_rejected"].message
    assert state.failure.hint == CATALOGUE["photo_rejected"].hint
    assert not state.failure.retryable


def test_a_code_of_another_release_reads_as_a_common_failure() -> None:
    failure = SessionState(Status.FAILED, "something_new").failure

    assert failure is not None
    assert (failure.code, failure.hint) == ("provider_failed", CATALOGUE["provider_failed"].hint)
    assert failure.retryable


def test_what_redis_knows_is_shown_whole(world: World) -> None:
    session_id = str(uuid4())
    url = SignedUrl("https://signed.example/a", START + timedelta(hours=1))
    world.polls.results[session_id] = url
    world.polls.typical = TypicalDurations(3, 40)
    world.polls.advance(world.user_id, session_id, SessionState(Status.SUCCESS))

    ended = world.tryons.status(world.user_id, session_id)
    world.polls.advance(
        world.user_id, session_id, SessionState(Status.QUEUED, queued_at=START.timestamp())
    )
    queued = world.tryons.cached_status(world.user_id, session_id)

    assert (ended.result, ended.needs_url) == (url, False)
    assert queued is not None
    assert (queued.eta, queued.result) == (43, url)


def test_the_history_asks_for_as_many_as_are_wanted(world: World) -> None:
    for _ in range(3):
        world.database.fail(world.start(), "interrupted")

    assert len(world.tryons.history(world.user_id, 2)) == 2


def test_a_garment_in_the_history_is_itself(world: World) -> None:
    world.runner.run(world.start())
    (entry,) = world.tryons.with_urls(world.tryons.history(world.user_id, 1))

    assert entry.garment is not None
    assert entry.garment.garment.id == world.garment_id


@pytest.mark.parametrize(
    ("limit", "seconds"), [("unfinished_per_user", 5), ("waiting", 10)]
)  # fmt: skip
def test_when_to_try_again(limit: str, seconds: int) -> None:
    off = dict.fromkeys(("unfinished_per_user", "per_day_per_user", "waiting", "paid_per_day"), 0)
    world = World(Limits(**{**off, limit: 1}))
    world.start()

    with pytest.raises(Problem) as refused:
        world.start()

    assert refused.value.retry_after == seconds


def test_a_wrong_garment_is_said_in_words(world: World) -> None:
    with pytest.raises(Problem) as refused:
        world.starter.start(world.user_id, str(uuid4()), b"photo")

    (reason,) = (refused.value.errors or {})["garmentId"]
    assert reason == Reason(REASONS["garment_gone"], "There is no such garment.")


def test_midnight_is_midnight(world: World) -> None:
    world = World(Limits(0, 1, 0, 0))
    world.clock.seconds = 11 * 3600 + 59 * 60 + 58.5
    world.start()

    with pytest.raises(Problem) as refused:
        world.start()

    assert refused.value.retry_after == 2


def test_a_replay_does_not_look_for_somebody_elses_session(world: World) -> None:
    first = world.start(key="key")
    world.runner.run(first)
    found: list[tuple[str, str]] = []
    find = world.database.find

    def noting(session_id: str, user_id: str) -> object:
        found.append((session_id, user_id))
        return find(session_id, user_id)

    world.database.find = noting  # type: ignore[method-assign, assignment]

    assert world.start(key="key") == first
    assert set(found) == {(first, world.user_id)}


def test_a_replay_inserts_once(world: World) -> None:
    world.runner.run(world.start(key="key"))
    created: list[object] = []
    create = world.database.create

    def noting(*args: object) -> object:
        created.append(args)
        return create(*args)  # type: ignore[arg-type]

    world.database.create = noting  # type: ignore[method-assign, assignment]
    world.start(key="key")

    assert len(created) == 1


def test_an_undo_that_is_told_to_nobody_still_answers(world: World) -> None:
    world.spoil("pictures.put")
    world.spoil("sessions.undo")
    world.spoil("jobs.cancel")

    with pytest.raises(Problem) as refused:
        world.start()

    assert refused.value.code == "unavailable"


@pytest.mark.parametrize("step", ["sessions.allow_one_resubmit", "vendor.prepare"])
def test_a_cancelled_session_stops_also_where_something_is_away(world: World, step: str) -> None:
    session_id = world.start()
    if step == "sessions.allow_one_resubmit":
        world.provider.poll_answers = [Progress(failure="provider_failed", charged=False)]
    world.spoil(step, times=50)
    world.clock.after(20, lambda: world.queue.cancelled_ids.add(session_id))

    world.runner.run(session_id)

    assert world.clock.seconds <= 23.5
    assert not world.session(session_id).status.ended


def test_a_run_sleeps_no_longer_than_its_deadline(world: World) -> None:
    world.provider.poll_answers = [RetryableError("429", 120.0)] * 50

    world.runner.run(world.start())

    assert world.clock.seconds == 600


def test_a_task_is_unknown_only_after_half_a_minute(world: World) -> None:
    world.provider.takes = 33
    world.provider.poll_answers = [TaskNotFound("404")] * 10  # from 5 s to 32 s

    session_id = world.start()
    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS


def test_a_claim_is_waited_for_until_it_is_old_and_not_longer(world: World) -> None:
    session_id = world.start()
    world.database.claim(session_id)
    world.database.claim_submit(session_id, "attempt of a dead run", 0)

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "provider_uncertain"
    assert 25 < world.clock.seconds <= 27


def test_the_sweep_goes_on_behind_a_session_that_lives(world: World) -> None:
    alive, lost = world.start(), world.start()
    for session_id in (alive, lost):
        world.database.claim(session_id)
    world.queue.queue.clear()
    world.queue.alive.add(alive)

    world.sweep.run_once()

    assert world.queue.queue == [lost]


def test_one_pass_erases_so_many(world: World) -> None:
    for number in range(501):
        world.database.erasures[number] = f"path-{number}", world.clock.now(), False

    world.sweep.erase()

    assert sum(not erased for _, _, erased in world.database.erasures.values()) == 1
