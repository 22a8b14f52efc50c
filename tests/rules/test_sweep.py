"""The sweep: what is lost is found, what is due goes, what lives is left alone."""

import pytest
from fakes import World

from vton.tryon.model import Status
from vton.tryon.ports.provider import PermanentError
from vton.tryon.sweep import ERASE_LIMIT, IDEMPOTENCY_KEY_HOURS, NEW_SECONDS, PASS_SECONDS

DAY = 24 * 3600.0
STEPS = [
    "sessions.unfinished", "sessions.mark_stale_uncertain", "sessions.delete_ended",
    "sessions.delete_idempotency_keys", "sessions.due",
]  # fmt: skip


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def lost(world: World, *, claimed: bool = True) -> str:
    """A session whose run and job are gone."""
    session_id = world.start()
    if claimed:
        world.database.claim(session_id)
    world.queue.queue.clear()
    return session_id


def test_a_session_that_lost_its_run_is_enqueued_again(world: World) -> None:
    session_id = lost(world)

    world.sweep.run_once()

    assert world.queue.queue == [session_id]


def test_a_living_run_and_a_waiting_job_are_left_alone(world: World) -> None:
    alive, waiting = lost(world), lost(world, claimed=False)
    world.queue.alive.add(alive)
    world.queue.queue.append(waiting)
    world.clock.sleep(60)

    world.sweep.run_once()

    assert world.queue.queue == [waiting]


def test_a_new_session_may_still_be_on_its_way_into_the_queue(world: World) -> None:
    session_id = lost(world, claimed=False)
    world.clock.sleep(NEW_SECONDS - 1)
    world.sweep.run_once()
    assert world.queue.queue == []

    world.clock.sleep(1)
    world.sweep.run_once()

    assert world.queue.queue == [session_id]


def test_what_its_request_could_not_undo_is_undone(world: World) -> None:
    session_id = lost(world)
    world.queue.cancelled_ids.add(session_id)

    world.sweep.run_once()

    assert world.database.rows == {}
    assert world.queue.queue == []


def test_what_is_past_its_deadline_fails_and_is_told(world: World) -> None:
    session_id = lost(world)
    world.clock.sleep(600)
    world.sweep.run_once()
    assert not world.session(session_id).status.ended

    world.clock.sleep(1)
    world.sweep.run_once()

    assert world.session(session_id).error_code == "deadline_exceeded"
    told = world.told(session_id)
    assert told is not None
    assert told.error_code == "deadline_exceeded"


def test_what_ended_meanwhile_is_not_told_to_have_failed(world: World) -> None:
    session_id = lost(world)
    path = world.session(session_id).result_path
    world.clock.sleep(601)
    world.spoil("sessions.fail", lambda: world.database.succeed(session_id, path))

    world.sweep.run_once()

    assert world.session(session_id).status is Status.SUCCESS
    assert world.polls.told == []


def test_polls_go_on_finding_what_is_unfinished(world: World) -> None:
    overdue = lost(world)
    world.clock.sleep(601)
    unfinished = lost(world)
    ended = world.start()
    world.runner.run(ended)

    world.sweep.run_once()

    assert world.polls.extended == [(world.user_id, unfinished)]
    assert world.session(overdue).status is Status.FAILED


def test_the_queues_leftovers_are_looked_for_once_a_minute(world: World) -> None:
    session_id = lost(world)
    for _ in range(7):
        world.sweep.run_once()
        world.clock.sleep(10)
    world.sweep.run_once()

    assert world.queue.orphans_expired_for == [[session_id]] * 2


def test_who_does_not_lead_does_nothing(world: World) -> None:
    lost(world)
    world.queue.leads = False

    world.sweep.run_once()

    assert world.queue.queue == []


@pytest.mark.parametrize("step", STEPS)
def test_an_outage_is_left_to_the_next_pass(world: World, step: str) -> None:
    session_id = lost(world)
    world.spoil(step)

    world.sweep.run_once()
    world.sweep.run_once()

    assert world.queue.queue.count(session_id) == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_of_ours_does_not_end_the_sweep(world: World, step: str) -> None:
    world.spoil(step, ValueError("bug"))

    world.sweep.run_once()


def test_it_makes_passes_until_the_process_ends(world: World) -> None:
    world.clock.after(35, world.clock.stop)
    session_id = lost(world, claimed=False)

    world.sweep.run_forever(world.clock)

    assert world.queue.queue == [session_id]
    assert world.clock.seconds == 4 * PASS_SECONDS


# -- what has to go --------------------------------------------------------------------------


def test_what_nobody_has_recorded_for_a_minute_is_uncertain(world: World) -> None:
    world.database.claim(session_id := world.start())
    world.database.claim_submit(session_id, "attempt", 0)
    world.clock.sleep(60)
    world.sweep.mark_stale_submits()
    assert world.outcomes(session_id) == ["open"]

    world.clock.sleep(1)
    world.sweep.mark_stale_submits()

    assert world.outcomes(session_id) == ["uncertain"]


def test_ended_sessions_go_after_thirty_days_and_unfinished_ones_do_not(world: World) -> None:
    ended, unfinished = world.start(), world.start()
    world.runner.run(ended)
    world.clock.seconds = 30 * DAY
    world.sweep.delete_old_sessions()
    assert set(world.database.rows) == {ended, unfinished}

    world.clock.seconds += 1
    world.sweep.delete_old_sessions()

    assert set(world.database.rows) == {unfinished}


def test_without_a_retention_nothing_goes(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)
    world.clock.seconds = 3000 * DAY
    world.sweep.retention *= 0

    world.sweep.delete_old_sessions()

    assert session_id in world.database.rows


def test_so_many_go_in_one_pass(world: World) -> None:
    for _ in range(ERASE_LIMIT + 1):
        world.database.fail(world.start(), "interrupted")
        world.clock.sleep(0.001)
    world.clock.seconds = 31 * DAY

    world.sweep.delete_old_sessions()

    assert len(world.database.rows) == 1


def test_a_key_is_known_for_a_day(world: World) -> None:
    session_id = world.start(key="key")
    world.clock.seconds = IDEMPOTENCY_KEY_HOURS * 3600.0
    world.sweep.delete_old_idempotency_keys()
    assert world.start(key="key") == session_id

    world.clock.seconds += 1
    world.sweep.delete_old_idempotency_keys()

    assert world.start(key="key") != session_id


def test_an_erasure_is_made_at_once_again_after_the_deadline_and_then_forgotten(
    world: World,
) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.tryons.delete(world.user_id, session_id)
    world.sweep.erase()
    world.bucket.objects[path] = b"late"

    world.sweep.erase()
    world.clock.sleep(660)
    world.sweep.erase()
    assert path in world.bucket.objects
    world.clock.sleep(1)
    world.sweep.erase()

    assert world.bucket.objects == {}
    assert world.database.erasures == {}


def test_a_result_that_is_stored_after_the_failure_goes(world: World) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.provider.downloads = [PermanentError("result_unusable", "")]
    world.runner.run(session_id)
    world.bucket.objects[path] = b"late"

    world.sweep.erase()

    assert path not in world.bucket.objects
    assert world.session(session_id).photo in world.bucket.objects


def test_erasures_stay_due_while_storage_is_away(world: World) -> None:
    world.tryons.delete(world.user_id, world.start())
    world.spoil("pictures.remove")
    world.sweep.run_once()
    assert all(not erased for _, _, erased in world.database.erasures.values())

    world.sweep.run_once()

    assert all(erased for _, _, erased in world.database.erasures.values())
