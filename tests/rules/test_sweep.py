"""The sweep: what is lost is found, what is due goes, what lives is left alone."""

import math
from datetime import timedelta
from functools import partial

import pytest
from fakes import World

from vton.errors import Unavailable
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


@pytest.mark.parametrize("outcome", ["open", "accepted", "uncertain", "not_accepted"])
def test_what_was_submitted_is_not_undone_but_goes_on(world: World, outcome: str) -> None:
    """It may be paid; a mark that somebody else's request has left takes nothing away."""
    session_id = lost(world)
    world.queue.cancelled_ids.add(session_id)
    world.database.claim_submit(session_id, "attempt", 0)
    world.database.ledger["attempt"].outcome = outcome

    world.sweep.run_once()

    undone = outcome == "not_accepted"
    assert list(world.database.rows) == ([] if undone else [session_id])
    assert world.queue.queue == ([] if undone else [session_id])
    assert world.queue.cancelled_ids == ({session_id} if undone else set())


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


# -- what a pass leaves to the next ------------------------------------------------------------


def everything_due(world: World) -> tuple[str, str, str]:
    """Give each step of a pass something to do. Return an overdue, an undone and a lost session."""
    world.database.fail(world.start(), "interrupted")  # goes for its age
    world.clock.seconds = 31 * DAY
    world.start(key="key")
    world.database.claim(submitted := world.start())
    world.database.claim_submit(submitted, "attempt", 0)
    overdue = lost(world)
    world.queue.queue.clear()
    world.clock.seconds += 25 * 3600.0
    undone, found = lost(world), lost(world)
    world.queue.cancelled_ids.add(undone)
    world.spoil("pictures.remove")
    world.tryons.delete(world.user_id, world.start())
    return overdue, undone, found


CALLS = [
    "jobs.try_acquire_leadership", "sessions.unfinished", "sessions.fail", "jobs.waiting",
    "jobs.running", "sessions.undo", "jobs.enqueue_again", "jobs.expire_orphaned_jobs",
    "sessions.mark_stale_uncertain", "sessions.delete_ended", "sessions.delete_idempotency_keys",
    "sessions.due", "pictures.check", "pictures.remove", "sessions.mark_erased",
    "sessions.forget",
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_whatever_is_away_the_next_pass_does_what_is_left(
    world: World, call: str, after: bool
) -> None:
    overdue, undone, found = everything_due(world)
    called: list[str] = []

    def be_away() -> None:
        called.append(call)
        raise Unavailable

    world.spoil(call, be_away, after=after)

    world.sweep.run_once()
    assert called == [call]
    world.sweep.run_once()

    assert world.session(overdue).error_code == "deadline_exceeded"
    assert undone not in world.database.rows
    assert world.queue.queue == [found]
    assert {submit.outcome for submit in world.database.ledger.values()} == {"uncertain"}
    assert "key" not in {key for _, key in world.database.keys}
    assert all(erased for _, _, erased in world.database.erasures.values())
    rows = [row for row in world.database.rows.values() if row.status.ended]
    assert all(row.error_code == "deadline_exceeded" for row in rows)


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_what_comes_behind_a_step_that_fails_waits_for_the_next_pass(
    world: World, number: int
) -> None:
    calls: list[str] = []
    for step in STEPS:
        world.spoil(step, None if step == STEPS[number] else partial(calls.append, step))

    world.sweep.run_once()

    assert calls == STEPS[:number]


def test_who_does_not_lead_asks_for_nothing(world: World) -> None:
    everything_due(world)
    world.queue.leads = False
    calls: list[str] = []
    for step in STEPS:
        world.spoil(step, partial(calls.append, step))
    before = dict(world.database.rows), dict(world.database.erasures)

    world.sweep.run_once()

    assert (world.database.rows, world.database.erasures) == before
    assert calls == []


def test_a_pass_that_was_cut_short_is_said_and_is_no_fault(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.spoil("sessions.unfinished")
    world.sweep.run_once()
    world.spoil("sessions.unfinished", ValueError("bug"))
    world.sweep.run_once()

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


# -- recovery, to the second -------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [False, True])
def test_the_deadline_is_for_queued_and_processing_ones(world: World, claimed: bool) -> None:
    session_id = lost(world, claimed=claimed)
    world.clock.sleep(600.5)

    world.sweep.run_once()

    assert world.session(session_id).error_code == "deadline_exceeded"
    assert world.queue.queue == []


def test_the_deadline_is_also_for_what_lives_or_waits(world: World) -> None:
    alive, waiting = lost(world), lost(world, claimed=False)
    world.queue.alive.add(alive)
    world.queue.queue.append(waiting)
    world.clock.sleep(601)

    world.sweep.run_once()

    assert {row.error_code for row in world.database.rows.values()} == {"deadline_exceeded"}


def test_a_deadline_is_told_to_its_own_user(world: World) -> None:
    theirs = world.starter.start(other := "other-user", world.garment_id, b"photo").session_id
    world.clock.sleep(601)

    world.sweep.run_once()

    told = world.polls.find(other, theirs).state
    assert told is not None
    assert (told.status, told.error_code) == (Status.FAILED, "deadline_exceeded")
    assert world.told(theirs) is None


def test_a_processing_session_without_a_run_does_not_wait(world: World) -> None:
    processing, queued = lost(world), lost(world, claimed=False)
    world.queue.queue.clear()

    world.sweep.run_once()

    assert world.queue.queue == [processing]
    assert world.session(queued).status is Status.QUEUED


def test_what_ends_is_not_enqueued_and_not_extended(world: World) -> None:
    world.runner.run(world.start())
    world.database.fail(world.start(), "interrupted")
    world.queue.queue.clear()
    world.clock.sleep(700)

    world.sweep.run_once()

    assert (world.queue.queue, world.polls.extended) == ([], [])


def test_a_cancelled_session_that_still_lives_is_left_to_its_run(world: World) -> None:
    session_id = lost(world)
    world.queue.cancelled_ids.add(session_id)
    world.queue.alive.add(session_id)

    world.sweep.run_once()

    assert session_id in world.database.rows


def test_a_new_cancelled_session_may_still_be_undone_by_its_request(world: World) -> None:
    session_id = lost(world, claimed=False)
    world.queue.cancelled_ids.add(session_id)
    world.clock.sleep(19.5)
    world.sweep.run_once()
    assert session_id in world.database.rows

    world.clock.sleep(0.5)
    world.sweep.run_once()

    assert session_id not in world.database.rows


def test_an_undone_session_gives_its_key_free_and_its_photo_goes(world: World) -> None:
    world.database.claim(session_id := world.start(key="key"))
    world.queue.queue.clear()
    world.queue.cancelled_ids.add(session_id)

    world.sweep.run_once()

    assert world.database.keys == {}
    assert world.bucket.objects == {}


def test_all_that_is_unfinished_keeps_its_job_in_the_queues_own_books(world: World) -> None:
    overdue = lost(world)
    world.clock.sleep(601)
    alive, waiting = lost(world), world.start()
    world.queue.alive.add(alive)
    world.runner.run(world.start())

    world.sweep.run_once()

    (kept,) = world.queue.orphans_expired_for
    assert set(kept) == {overdue, alive, waiting}


def test_the_queues_books_are_walked_through_once_a_minute(world: World) -> None:
    walks = []
    for _ in range(20):
        before = len(world.queue.orphans_expired_for)
        world.sweep.run_once()
        if len(world.queue.orphans_expired_for) > before:
            walks.append(world.clock.seconds)
        world.clock.sleep(10)

    assert walks == [0, 70, 140]


def test_a_walk_that_failed_is_made_in_the_next_pass(world: World) -> None:
    world.spoil("jobs.expire_orphaned_jobs")
    world.sweep.run_once()
    assert world.queue.orphans_expired_for == []

    world.sweep.run_once()

    assert world.queue.orphans_expired_for == [[]]


@pytest.mark.parametrize("stop_after", [0, 9.5, 10.5, 100])
def test_passes_are_ten_seconds_apart_until_the_process_ends(
    world: World, stop_after: float
) -> None:
    passes: list[float] = []

    def pass_again() -> None:
        passes.append(world.clock.seconds)
        world.spoil("jobs.try_acquire_leadership", pass_again)

    world.spoil("jobs.try_acquire_leadership", pass_again)
    if stop_after:
        world.clock.after(stop_after, world.clock.stop)
    else:
        world.clock.stop()

    world.sweep.run_forever(world.clock)

    assert passes == [10.0 * number for number in range(len(passes))]
    assert len(passes) == max(1, math.ceil(stop_after / 10))


def test_passes_go_on_while_everything_is_away(world: World) -> None:
    session_id = lost(world)
    world.spoil("jobs.try_acquire_leadership", times=3)
    world.clock.after(35, world.clock.stop)

    world.sweep.run_forever(world.clock)

    assert world.queue.queue == [session_id]


# -- what has to go, to the second -------------------------------------------------------------


@pytest.mark.parametrize("days", [0, 1, 30, 365])
def test_sessions_are_kept_for_as_long_as_is_set(world: World, days: int) -> None:
    world.sweep.retention = timedelta(days=days)
    world.database.fail(old := world.start(), "interrupted")
    world.clock.seconds = 29.5 * DAY
    world.runner.run(new := world.start())
    world.clock.seconds = 30 * DAY + 1

    world.sweep.run_once()

    kept = {0: {old, new}, 1: {new}, 30: {new}, 365: {old, new}}
    assert set(world.database.rows) == kept[days]


def test_the_pictures_of_what_went_for_its_age_go_in_the_same_pass(world: World) -> None:
    world.runner.run(world.start())
    world.clock.seconds = 31 * DAY

    world.sweep.run_once()

    assert world.bucket.objects == {}


def test_a_key_of_a_day_goes_and_the_session_stays(world: World) -> None:
    world.runner.run(session_id := world.start(key="key"))
    world.clock.seconds = DAY
    world.sweep.run_once()
    assert len(world.database.keys) == 1

    world.clock.seconds = DAY + 1
    world.sweep.run_once()

    assert world.database.keys == {}
    assert session_id in world.database.rows


def test_only_submits_without_an_outcome_become_uncertain(world: World) -> None:
    world.runner.run(done := world.start())
    world.clock.sleep(3600)

    world.sweep.run_once()

    assert world.outcomes(done) == ["accepted"]


def test_while_nothing_is_due_the_bucket_is_not_asked(world: World) -> None:
    for call in ("pictures.check", "pictures.remove"):
        world.spoil(call, AssertionError("asked"))

    world.sweep.erase()


def test_an_erasure_that_could_not_be_made_for_long_is_still_made_twice(world: World) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.tryons.delete(world.user_id, session_id)
    world.clock.sleep(3600)
    world.sweep.erase()
    assert {erased for _, _, erased in world.database.erasures.values()} == {True}
    world.bucket.objects[path] = b"late"

    world.sweep.erase()

    assert (world.bucket.objects, world.database.erasures) == ({}, {})


@pytest.mark.parametrize("call", ["pictures.check", "pictures.remove"])
def test_nothing_is_forgotten_before_it_is_gone_for_good(world: World, call: str) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.tryons.delete(world.user_id, session_id)
    world.sweep.erase()
    world.clock.sleep(700)
    world.bucket.objects[path] = b"late"
    world.spoil(call)

    world.sweep.run_once()
    assert len(world.database.erasures) == 2
    world.sweep.run_once()

    assert (world.bucket.objects, world.database.erasures) == ({}, {})


def test_the_second_erasure_is_after_the_deadline_that_is_set() -> None:
    world = World(deadline=100)
    world.tryons.delete(world.user_id, world.start())
    world.sweep.erase()
    world.clock.sleep(160)
    world.sweep.erase()
    assert len(world.database.erasures) == 2

    world.clock.sleep(0.5)
    world.sweep.erase()

    assert world.database.erasures == {}
