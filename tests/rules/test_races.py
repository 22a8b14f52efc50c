"""Deletes, cancellations and second runs that meet a run at each of its steps."""

from collections.abc import Callable

import pytest
from fakes import World

from vton.tryon.model import Status
from vton.tryon.ports.provider import Progress, RetryableError
from vton.tryon.ports.storage import PictureMissing
from vton.tryon.retries import CANCEL_CHECK_SECONDS, Interrupted
from vton.tryon.submitter import CLAIM_SECONDS

STEPS = [
    "sessions.claim", "vendor.prepare", "sessions.claim_submit", "vendor.submit",
    "sessions.record_outcome", "vendor.poll", "vendor.download_result", "pictures.put",
]  # fmt: skip


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_delete_at_any_step_leaves_nothing(world: World, step: str, after: bool) -> None:
    session_id = world.start()
    world.spoil(step, lambda: world.tryons.delete(world.user_id, session_id), after=after)

    world.runner.run(session_id)
    world.sweep.run_once()

    assert world.database.rows == {}
    assert world.bucket.objects == {}
    assert world.told(session_id) is None


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_success_of_another_run_is_kept_and_told(world: World, step: str) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path

    def succeed() -> None:
        world.bucket.objects[path] = b"png"
        world.database.succeed(session_id, path)

    world.spoil(step, succeed)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert world.bucket.objects[path] == b"png"
    assert Status.FAILED not in {state.status for state in world.polls.told}


@pytest.mark.parametrize("step", ["vendor.poll", "vendor.download_result", "pictures.put"])
def test_a_picture_that_comes_after_the_failure_goes(world: World, step: str) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.spoil(step, lambda: world.database.fail(session_id, "deadline_exceeded"))

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "deadline_exceeded"
    assert path not in world.bucket.objects
    assert Status.SUCCESS not in {state.status for state in world.polls.told}


def test_a_failure_that_comes_after_a_success_is_not_told(world: World) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.spoil("vendor.poll", lambda: world.database.succeed(session_id, path))
    world.provider.poll_answers = [ValueError("bug")]

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert Status.FAILED not in {state.status for state in world.polls.told}


def test_a_session_that_has_ended_is_not_run(world: World) -> None:
    session_id = world.start()
    world.database.fail(session_id, "interrupted")

    world.runner.run(session_id)

    assert world.provider.submitted == []
    assert world.polls.told == []


@pytest.mark.parametrize(
    "pause", [lambda w: setattr(w.provider, "takes", 500), lambda w: w.provider.poll_answers.append(
        RetryableError("429", 60.0)
    )],
)  # fmt: skip
def test_a_cancellation_is_noticed_within_three_seconds(
    world: World, pause: Callable[[World], None]
) -> None:
    pause(world)
    session_id = world.start()
    world.clock.after(20, lambda: world.queue.cancelled_ids.add(session_id))

    world.runner.run(session_id)

    assert 20 <= world.clock.seconds <= 20 + CANCEL_CHECK_SECONDS


def test_a_cancelled_session_is_not_submitted(world: World) -> None:
    session_id = world.start()
    world.queue.cancelled_ids.add(session_id)

    world.runner.run(session_id)

    assert world.provider.submitted == []
    assert not world.session(session_id).status.ended


def test_a_second_run_beside_a_slow_submit_waits_and_fails_nothing(world: World) -> None:
    """A submit may last 20 s; a claim is nobody's only after that."""
    session_id = world.start()
    seen: list[Status] = []

    def second() -> None:
        world.clock.after(19, lambda: seen.append(world.session(session_id).status))
        world.clock.after(19, world.clock.stop)
        with pytest.raises(Interrupted):
            world.runner.run(session_id)
        world.clock.stopping = False

    world.spoil("vendor.submit", second)

    world.runner.run(session_id)

    assert seen == [Status.PROCESSING]
    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 1
    assert CLAIM_SECONDS > 20


def test_a_second_run_goes_on_from_the_first_ones_task(world: World) -> None:
    session_id = world.start()
    world.spoil("vendor.poll", lambda: world.runner.run(session_id))

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 1


def test_two_runs_resubmit_an_error_once(world: World) -> None:
    session_id = world.start()
    world.provider.poll_answers = [Progress(failure="provider_failed", charged=False)]
    world.spoil("sessions.allow_one_resubmit", lambda: world.runner.run(session_id), after=True)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 2


@pytest.mark.parametrize(("late", "outcome"), [(30, "success"), (70, "interrupted")])
def test_a_photo_may_be_a_minute_late(world: World, late: float, outcome: str) -> None:
    session_id = world.start()
    photo = world.session(session_id).photo
    for _ in range(200):
        world.vendor.spoil("prepare", PictureMissing(photo), after=False)
    world.clock.after(late, world.vendor._spoiled.clear)

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.error_code or session.status) == outcome


def test_a_garments_picture_that_is_missing_is_not_waited_for(world: World) -> None:
    session_id = world.start()
    world.spoil("vendor.prepare", PictureMissing("garments/shirt.png"))

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "garment_missing"
    assert world.clock.seconds == 0


def test_a_session_is_no_success_before_its_result_is_stored(world: World) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    there: list[bool] = []
    world.spoil("sessions.succeed", lambda: there.append(path in world.bucket.objects))

    world.runner.run(session_id)

    assert there == [True]


def test_durations_are_recorded_of_whole_runs_only(world: World) -> None:
    session_id = world.start()
    world.clock.sleep(4)
    world.runner.run(session_id)
    taken_over = world.start()
    world.database.claim(taken_over)
    world.database.claims[taken_over] = "attempt"
    world.database.tasks[taken_over] = world.provider.polled[0]
    world.runner.run(taken_over)

    (durations,) = world.polls.durations
    assert (durations.wait, durations.run) == (4.0, 11.0)
    began = [state.began_at for state in world.polls.told if state.status is Status.PROCESSING]
    assert began[0] is not None
    assert began[1] is None


def test_each_step_of_a_run_is_reported(world: World) -> None:
    session_id = world.start()
    steps: list[tuple[str, str | None]] = []

    world.runner.run(session_id, lambda step, task: steps.append((step, task)))

    assert steps[:2] == [("submitting", None), ("waiting", "task-1")]
    assert steps[-2:] == [("fetching", None), ("storing", None)]
