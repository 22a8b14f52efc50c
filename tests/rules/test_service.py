"""What users do with try-ons: start, poll, list, delete, through fakes."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fakes import START, World

from vton.errors import CATALOGUE, Problem, Unavailable
from vton.tryon.answers import Started
from vton.tryon.model import (
    UNFINISHED,
    SessionState,
    Status,
    failed,
    own_pictures,
    photo_path,
    thumbnail_path,
)
from vton.tryon.ports.database import Limits
from vton.tryon.ports.pauses import Pause
from vton.tryon.ports.provider import PermanentError
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import PictureRefused, SignedUrl
from vton.tryon.starter import PHOTO_NAME_TRIES, STARTING_SECONDS

OFF = {"unfinished_per_user": 0, "per_day_per_user": 0, "waiting": 0, "paid_per_day": 0}


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def limited(**limits: int) -> World:
    """Everything, with limits."""
    return World(Limits(**{**OFF, **limits}))


def refused(call: Callable[[], object]) -> Problem:
    """The problem that a call ends with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


# -- start -----------------------------------------------------------------------------------


def test_a_try_on_is_row_photo_and_job(world: World) -> None:
    session_id = world.start(b"me")

    session = world.session(session_id)
    assert (session.status, session.garment_id) == (Status.QUEUED, world.garment_id)
    assert world.bucket.objects == {session.photo: b"jpeg of me"}
    assert world.queue.queue == [session_id]


def test_while_the_provider_wants_money_nothing_is_taken(world: World) -> None:
    world.circuit_breaker.trip("one")

    problem = refused(world.start)

    assert (problem.code, problem.retry_after) == ("provider_paused", 60)
    assert world.database.rows == {}


SLOW = b"slow photo"
"""One that may take long to decode."""


@pytest.mark.parametrize(
    ("left", "seconds"), [(None, 60), (1000, 60), (60, 60), (20.5, 21), (0.5, 1), (-3, 1)]
)
def test_while_the_operator_pauses_nothing_is_begun(
    world: World, left: float | None, seconds: int
) -> None:
    until = None if left is None else world.clock.now() + timedelta(seconds=left)
    world.pauses.pause = Pause(world.clock.now(), until, "Back at nine.")

    with pytest.raises(Problem) as caught:
        world.start()

    found = caught.value
    assert (found.code, found.retry_after, found.message) == ("paused", seconds, "Back at nine.")
    assert (world.database.rows, world.bucket.objects) == ({}, {})
    world.pauses.pause = None
    assert world.start()


def test_a_pause_without_words_has_the_catalogues(world: World) -> None:
    world.pauses.pause = Pause(world.clock.now(), None, None)

    with pytest.raises(Problem) as caught:
        world.start()

    assert caught.value.message == CATALOGUE["paused"].message


def test_a_pause_stops_nobody_who_has_begun(world: World) -> None:
    session_id = world.start()
    world.pauses.pause = Pause(world.clock.now(), None, None)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS


def test_a_slow_photo_is_decoded_only_for_a_garment_that_is_there(world: World) -> None:
    with pytest.raises(Problem, match="invalid_fields"):
        world.starter.start(world.user_id, str(uuid4()), SLOW)

    assert world.photos.owners == []
    assert world.starter.start(world.user_id, world.garment_id, SLOW).replayed is False
    assert world.photos.owners == [world.user_id]


@pytest.mark.parametrize("limit", ["unfinished_per_user", "per_day_per_user", "waiting"])
def test_a_slow_photo_is_decoded_only_within_the_limits(limit: str) -> None:
    world = limited(**{limit: 1})
    world.start()
    decoded = len(world.photos.owners)

    with pytest.raises(Problem):
        world.starter.start(world.user_id, world.garment_id, SLOW)

    assert len(world.photos.owners) == decoded


def test_a_slow_photo_is_decoded_once_however_often_it_is_sent(world: World) -> None:
    first = world.starter.start(world.user_id, world.garment_id, SLOW)
    second = world.starter.start(world.user_id, world.garment_id, SLOW)

    assert (second.session_id, second.replayed) == (first.session_id, True)
    assert len(world.photos.owners) == 1


@pytest.mark.parametrize("photo", [SLOW, b"quick photo"])
def test_a_key_whose_twin_was_found_is_that_ones_also_when_it_has_ended(
    world: World, photo: bytes
) -> None:
    """Else a repetition of it would be paid for once more."""
    first = world.starter.start(world.user_id, world.garment_id, photo, "one")
    second = world.starter.start(world.user_id, world.garment_id, photo, "two")
    world.runner.run(first.session_id)
    again = world.starter.start(world.user_id, world.garment_id, photo, "two")

    assert [one.session_id for one in (second, again)] == [first.session_id] * 2
    assert len(world.provider.submitted) == 1


def test_a_slow_photo_of_a_session_that_was_taken_back_starts_anew(world: World) -> None:
    first = world.starter.start(world.user_id, world.garment_id, SLOW).session_id
    world.spoil("sessions.find", lambda: world.database.undo(first))

    second = world.starter.start(world.user_id, world.garment_id, SLOW)

    assert (second.replayed, len(world.photos.owners)) == (False, 2)


def test_a_quick_photo_asks_the_database_once(world: World) -> None:
    world.spoil("sessions.check")

    assert world.start()


def test_an_unknown_garment_is_a_wrong_field(world: World) -> None:
    problem = refused(lambda: world.starter.start(world.user_id, str(uuid4()), b"photo"))

    assert problem.code == "invalid_fields"
    assert list(problem.errors or ()) == ["garmentId"]
    assert world.bucket.objects == {}


def test_a_deleted_account_starts_nothing(world: World) -> None:
    world.database.deleted_users.add(world.user_id)

    assert refused(world.start).code == "token_invalid"


def test_photos_of_one_millisecond_get_two_names(world: World) -> None:
    first, second = world.start(), world.start()

    milliseconds = int(START.timestamp() * 1000)
    assert world.session(first).photo == photo_path(world.user_id, milliseconds)
    assert world.session(second).photo == photo_path(world.user_id, milliseconds + 1)


def test_but_not_for_ever(world: World) -> None:
    for _ in range(PHOTO_NAME_TRIES):
        world.start()

    with pytest.raises(Unavailable):
        world.start()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["sessions.create", "pictures.put", "jobs.enqueue"])
def test_what_could_not_be_taken_leaves_nothing(world: World, call: str, after: bool) -> None:
    world.spoil(call, after=after)

    with pytest.raises(Unavailable):
        world.start(key="key")

    assert world.database.rows == {}
    assert world.bucket.objects == {}
    assert world.database.keys == {}


@pytest.mark.parametrize("call", ["sessions.create", "pictures.put", "jobs.enqueue"])
def test_what_could_not_be_undone_is_undone_by_the_sweep_and_never_run(
    world: World, call: str
) -> None:
    world.spoil(call, after=True)
    world.spoil("sessions.undo")
    with pytest.raises(Unavailable):
        world.start()
    world.clock.sleep(60)

    world.sweep.run_once()

    assert world.database.rows == {}
    assert world.bucket.objects == {}
    assert world.queue.queue == []


def test_an_undone_key_starts_anew(world: World) -> None:
    world.spoil("pictures.put")
    with pytest.raises(Unavailable):
        world.start(key="key")

    session_id = world.start(key="key")

    assert world.queue.queue == [session_id]


def test_the_same_key_is_the_same_try_on(world: World) -> None:
    first = world.starter.start(world.user_id, world.garment_id, b"photo", "key")
    again = world.starter.start(world.user_id, world.garment_id, b"photo", "key")

    assert (again.session_id, first.replayed, again.replayed) == (first.session_id, False, True)
    assert len(world.database.rows) == 1


@pytest.mark.parametrize("end", ["success", "failed", "deleted"])
def test_also_when_it_has_ended(world: World, end: str) -> None:
    session_id = world.start(key="key")
    if end == "deleted":
        world.tryons.delete(world.user_id, session_id)
    elif end == "success":
        world.runner.run(session_id)
    else:
        world.database.fail(session_id, "interrupted")
    world.queue.queue.clear()

    assert world.start(key="key") == session_id
    assert world.queue.queue == []


def test_a_key_with_another_photo_or_garment_is_a_mismatch(world: World) -> None:
    other_garment = str(uuid4())
    world.add_garment(other_garment)
    world.start(b"photo", key="key")

    photo = refused(lambda: world.start(b"another", key="key"))
    garment = refused(lambda: world.starter.start(world.user_id, other_garment, b"photo", "key"))

    assert (photo.code, garment.code) == ("idempotency_mismatch", "idempotency_mismatch")


def test_two_users_may_have_the_same_key(world: World) -> None:
    other = str(uuid4())
    first = world.start(key="key")

    second = world.starter.start(other, world.garment_id, b"photo", "key")

    assert second.session_id != first
    assert not second.replayed


def test_a_repeat_while_the_first_is_being_taken_is_told_to_wait(world: World) -> None:
    session_id = world.start(key="key")
    world.queue.queue.clear()  # its job is not there yet

    problem = refused(lambda: world.start(key="key"))
    world.clock.sleep(STARTING_SECONDS)

    assert (problem.code, problem.retry_after) == ("idempotency_in_progress", 1)
    assert world.start(key="key") == session_id


def test_a_running_or_finished_one_is_never_in_progress(world: World) -> None:
    session_id = world.start(key="key")
    world.queue.queue.clear()
    world.database.claim(session_id)

    assert world.start(key="key") == session_id


# -- start: what can go wrong --------------------------------------------------------------------


@pytest.mark.parametrize(("passed", "left"), [(0, 60), (1.5, 58), (59, 1), (60, 0)])
def test_a_pause_is_as_long_as_it_still_lasts(world: World, passed: float, left: int) -> None:
    world.circuit_breaker.trip("one")
    world.clock.sleep(passed)

    if left:
        assert refused(world.start).retry_after == left
    else:
        assert world.start()


@pytest.mark.parametrize("keys", [(None, None), ("a", "b"), (None, "b"), ("a", None)])
@pytest.mark.parametrize("running", [True, False])
def test_a_second_tap_is_no_second_try_on(
    world: World, keys: tuple[str | None, str | None], running: bool
) -> None:
    first = world.starter.start(world.user_id, world.garment_id, b"me", keys[0])
    if running:
        world.database.claim(first.session_id)

    second = world.starter.start(world.user_id, world.garment_id, b"me", keys[1])

    assert (second.session_id, second.replayed) == (first.session_id, True)
    assert list(world.database.rows) == [first.session_id]
    assert len(world.bucket.objects) == 1
    if keys[1]:
        world.database.fail(first.session_id, "provider_failed")
        assert world.start(b"me", key=keys[1]) == first.session_id, "its key stays its own"


def test_after_its_end_the_same_photo_is_another_try_on(world: World) -> None:
    first = world.start(b"me")
    world.runner.run(first)

    assert world.start(b"me") != first


def test_another_photo_garment_or_user_is_another_try_on(world: World) -> None:
    other_garment = str(uuid4())
    world.database.garments[other_garment] = world.database.garments[world.garment_id]
    create = world.starter.start

    started = [
        create(world.user_id, world.garment_id, b"me"),
        create(world.user_id, world.garment_id, b"me too"),
        create(world.user_id, other_garment, b"me"),
        create(str(uuid4()), world.garment_id, b"me"),
    ]

    assert not any(one.replayed for one in started)


def test_a_second_tap_waits_for_the_first_to_be_taken(world: World) -> None:
    first = world.start(b"me")
    world.queue.queue.clear()
    world.clock.after(3, lambda: world.queue.enqueue(world.user_id, first))

    assert world.start(b"me") == first


def test_a_second_tap_after_the_first_was_taken_back_starts_anew(world: World) -> None:
    first = world.start(b"me")
    world.queue.queue.clear()
    world.clock.after(3, lambda: world.database.undo(first))

    again = world.start(b"me")

    assert list(world.database.rows) == [again]


def test_refused_photos_have_a_limit_of_their_own() -> None:
    world = limited(per_day_per_user=2)
    refusal = PermanentError("photo_rejected", "nobody is in it")
    world.provider.submit_answers += [refusal] * 4
    for _ in range(4):
        session_id = world.start()
        world.runner.run(session_id)
        assert world.session(session_id).error_code == "photo_rejected"

    assert refused(world.start).code == "daily_quota"


def test_a_deleted_session_holds_its_place_while_the_provider_may_work_on_it() -> None:
    world = limited(unfinished_per_user=1)
    session_id = world.start()
    world.database.claim(session_id)
    world.database.claim_submit(session_id, "attempt", 0)
    world.tryons.delete(world.user_id, session_id)

    assert refused(world.start).code == "too_many_unfinished"
    world.clock.sleep(300)
    assert world.start()


def test_the_last_name_that_is_tried_is_taken(world: World) -> None:
    milliseconds = int(START.timestamp() * 1000)
    for _ in range(19):
        world.start()

    session_id = world.start()

    assert world.session(session_id).photo == photo_path(world.user_id, milliseconds + 19)


def test_a_photo_that_lies_there_without_a_row_moves_the_name_too(world: World) -> None:
    milliseconds = int(START.timestamp() * 1000)
    world.bucket.objects[photo_path(world.user_id, milliseconds)] = b"old"

    session_id = world.start(b"me", key="key")

    photo = photo_path(world.user_id, milliseconds + 1)
    assert world.session(session_id).photo == photo
    assert list(world.database.rows) == [session_id]
    assert world.queue.queue == [session_id]
    assert world.bucket.objects[photo] == b"jpeg of me"
    assert world.start(b"me", key="key") == session_id


def test_two_users_photos_never_collide(world: World) -> None:
    first = world.start()

    second = world.starter.start(str(uuid4()), world.garment_id, b"photo").session_id

    milliseconds = [world.session(one).photo for one in (first, second)]
    assert {path.rpartition("/")[2] for path in milliseconds if path} == {
        f"{int(START.timestamp() * 1000)}_original.jpg"
    }


@pytest.mark.parametrize("call", ["pictures.put", "jobs.enqueue"])
@pytest.mark.parametrize("after", [False, True])
def test_a_fault_of_ours_leaves_nothing_either(world: World, call: str, after: bool) -> None:
    world.spoil(call, ValueError("bug"), after=after)

    with pytest.raises(ValueError, match="bug"):
        world.start(key="key")

    assert (world.database.rows, world.database.keys, world.bucket.objects) == ({}, {}, {})


def test_a_photo_that_the_storage_never_takes_leaves_nothing(world: World) -> None:
    world.spoil("pictures.put", PictureRefused("too large"))

    with pytest.raises(Unavailable):
        world.start(key="key")

    assert (world.database.rows, world.database.keys, world.queue.queue) == ({}, {}, [])
    assert world.queue.cancelled_ids == set()


def test_what_was_undone_is_not_cancelled(world: World) -> None:
    world.spoil("jobs.enqueue")
    with pytest.raises(Unavailable):
        world.start()

    assert world.queue.cancelled_ids == set()


@pytest.mark.parametrize("call", ["pictures.put", "jobs.enqueue"])
def test_what_could_not_be_undone_is_cancelled_at_once(world: World, call: str) -> None:
    world.spoil(call, after=True)
    world.spoil("sessions.undo")

    with pytest.raises(Unavailable):
        world.start()

    (session_id,) = world.database.rows
    assert world.queue.cancelled_ids == {session_id}
    assert world.queue.queue == []


def test_what_was_submitted_before_it_could_be_undone_is_started(world: World) -> None:
    """The queue took the job, and only its answer was lost: to repeat it would be paid twice."""
    world.spoil("jobs.enqueue", lambda: run_first(world), after=True)

    session_id = world.start(key="k")

    assert world.session(session_id).status is Status.SUCCESS
    assert world.start(key="k") == session_id
    assert len(world.provider.submitted) == 1
    assert world.queue.cancelled_ids == set()


def run_first(world: World) -> None:
    """Have a worker run the one job before its request knows that it was enqueued."""
    (session_id,) = world.database.rows
    world.runner.run(session_id)
    raise Unavailable


def test_a_photo_that_an_undo_could_not_remove_is_erased_by_the_sweep(world: World) -> None:
    world.spoil("jobs.enqueue")
    world.spoil("pictures.remove")

    with pytest.raises(Unavailable):
        world.start(key="key")

    assert (world.database.rows, world.database.keys) == ({}, {})
    assert len(world.bucket.objects) == 1
    world.sweep.run_once()
    assert world.bucket.objects == {}


def test_an_undo_that_did_its_work_and_did_not_say_so_is_one(world: World) -> None:
    world.spoil("jobs.enqueue")
    world.spoil("sessions.undo", after=True)

    with pytest.raises(Unavailable):
        world.start(key="key")
    again = world.start(key="key")
    world.clock.sleep(60)
    world.sweep.run_once()

    assert list(world.database.rows) == [again]
    assert world.queue.queue == [again]


def test_a_key_that_could_not_be_undone_waits_for_the_sweep_and_then_starts_anew(
    world: World,
) -> None:
    world.spoil("pictures.put")
    world.spoil("sessions.undo")
    with pytest.raises(Unavailable):
        world.start(key="key")
    (first,) = world.database.rows
    assert refused(lambda: world.start(key="key")).code == "idempotency_in_progress"
    world.clock.sleep(20)
    world.sweep.run_once()

    again = world.start(key="key")

    assert again != first
    assert list(world.database.rows) == [again]
    assert world.queue.queue == [again]


def test_a_repeat_whose_answer_gets_lost_leaves_the_first_alone(world: World) -> None:
    first = world.start(key="key")
    for call in ("sessions.create", "sessions.find", "sessions.find"):
        world.spoil(call, after=call == "sessions.create")
        with pytest.raises(Unavailable):
            world.start(key="key")

    assert list(world.database.rows) == [first]
    assert world.queue.queue == [first]
    assert len(world.bucket.objects) == 1
    assert world.start(key="key") == first


def test_a_repeat_while_redis_is_away_leaves_the_first_alone(world: World) -> None:
    first = world.start(key="key")
    world.spoil("jobs.exists")

    with pytest.raises(Unavailable):
        world.start(key="key")

    assert list(world.database.rows) == [first]
    assert world.queue.queue == [first]


def test_a_key_that_is_undone_while_it_is_repeated_starts_anew(world: World) -> None:
    first = world.start(key="key")
    world.spoil("sessions.find", lambda: world.database.undo(first))

    again = world.starter.start(world.user_id, world.garment_id, b"photo", "key")

    assert not again.replayed
    assert again.session_id != first
    assert list(world.database.rows) == [again.session_id]


def test_a_mismatch_starts_nothing_and_takes_nothing(world: World) -> None:
    first = world.start(b"photo", key="key")

    problem = refused(lambda: world.start(b"another", key="key"))

    assert (problem.retry_after, problem.policy) == (None, None)
    assert list(world.database.rows) == [first]
    assert len(world.bucket.objects) == 1


@pytest.mark.parametrize(
    ("age", "job", "code"),
    [
        (0, False, "idempotency_in_progress"),
        (54, False, "idempotency_in_progress"),
        (60, False, None),
        (0, True, None),
    ],
)
def test_in_progress_is_what_is_young_and_has_no_job(
    world: World, age: float, job: bool, code: str | None
) -> None:
    first = world.start(key="key")
    if not job:
        world.queue.queue.clear()
    world.clock.sleep(age)

    if code:
        assert refused(lambda: world.start(key="key")).code == code
    else:
        again = world.starter.start(world.user_id, world.garment_id, b"photo", "key")
        assert (again.session_id, again.replayed) == (first, True)


def test_what_could_not_be_undone_is_not_replayed(world: World) -> None:
    world.spoil("pictures.put")
    world.spoil("sessions.undo")
    with pytest.raises(Unavailable):
        world.start(key="key")
    world.clock.sleep(61)

    assert refused(lambda: world.start(key="key")).code == "idempotency_in_progress"

    world.sweep.run_once()
    assert world.session(world.start(key="key")).status is Status.QUEUED


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.SUCCESS, Status.FAILED])
def test_what_a_worker_has_had_is_not_in_progress(world: World, status: Status) -> None:
    first = world.start(key="key")
    world.database.rows[first] = replace(world.session(first), status=status)
    world.queue.queue.clear()

    assert world.start(key="key") == first


# -- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "code", "policy"),
    [
        ("unfinished_per_user", "too_many_unfinished", "unfinished"),
        ("per_day_per_user", "daily_quota", "daily"),
        ("waiting", "busy", None),
    ],
)
def test_each_limit_has_its_code(limit: str, code: str, policy: str | None) -> None:
    world = limited(**{limit: 2})
    world.start()
    world.start()

    problem = refused(world.start)

    assert (problem.code, problem.policy) == (code, policy)
    assert (problem.retry_after or 0) > 0
    assert len(world.database.rows) == 2


def test_the_cap_of_paid_calls_refuses_until_midnight() -> None:
    world = limited(paid_per_day=1)
    world.runner.run(world.start())

    problem = refused(world.start)

    assert (problem.code, problem.retry_after) == ("paid_cap_reached", 12 * 3600 + 1 - 11)


@pytest.mark.parametrize(("hour", "left"), [(0, 24), (1, 23), (12, 12), (23, 1)])
def test_a_quota_begins_anew_at_midnight_utc(hour: int, left: int) -> None:
    world = limited(per_day_per_user=1)
    world.clock.seconds = (hour - 12) * 3600.0
    world.start()

    assert refused(world.start).retry_after == left * 3600 + 1


def test_waiting_are_those_that_no_worker_has() -> None:
    world = limited(waiting=1)
    world.database.claim(world.start())

    assert world.start()
    assert refused(world.start).code == "busy"


def test_a_delete_does_not_give_the_quota_back() -> None:
    world = limited(per_day_per_user=1)
    session_id = world.start()
    world.runner.run(session_id)
    world.tryons.delete(world.user_id, session_id)

    assert refused(world.start).code == "daily_quota"


def test_one_users_limits_are_nobody_elses() -> None:
    world = limited(unfinished_per_user=1, per_day_per_user=1)
    world.start()

    assert world.starter.start(str(uuid4()), world.garment_id, b"photo").session_id


def test_without_limits_there_are_none() -> None:
    world = World()
    for _ in range(50):
        world.start()
        world.clock.sleep(0.001)

    assert len(world.database.rows) == 50


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"unfinished_per_user": 1, "per_day_per_user": 1}, "too_many_unfinished"),
        ({"unfinished_per_user": 1, "waiting": 1}, "busy"),
    ],
)
def test_of_several_limits_one_is_said(limits: dict[str, int], code: str) -> None:
    world = limited(**limits)
    world.start()

    assert refused(world.start).code == code


def test_a_session_that_ended_makes_room() -> None:
    world = limited(unfinished_per_user=1, waiting=1)
    world.runner.run(world.start())

    assert world.start()


def test_what_failed_unpaid_is_not_counted_in_the_quota() -> None:
    world = limited(per_day_per_user=1)
    world.database.fail(world.start(), "interrupted")

    assert world.start()


def test_what_is_refused_keeps_no_key() -> None:
    world = limited(waiting=1)
    first = world.start()
    assert refused(lambda: world.start(key="key")).code == "busy"
    assert (world.user_id, "key") not in world.database.keys
    world.database.claim(first)

    assert world.start(key="key")


@pytest.mark.parametrize("limit", ["unfinished_per_user", "per_day_per_user", "waiting"])
def test_a_repeat_is_within_every_limit(limit: str) -> None:
    world = limited(**{limit: 1})
    first = world.start(key="key")

    assert world.start(key="key") == first


# -- status ----------------------------------------------------------------------------------


def test_what_redis_knows_asks_no_database(world: World) -> None:
    world.spoil("sessions.find", AssertionError("asked"))
    state = SessionState(Status.PROCESSING)
    world.polls.advance(world.user_id, "session", state)

    assert world.tryons.status(world.user_id, "session").state == state


def test_a_deletes_mark_asks_no_database(world: World) -> None:
    session_id = world.start()
    world.spoil("sessions.find", AssertionError("asked"))
    world.polls.mark_deleted(world.user_id, session_id)

    assert refused(lambda: world.tryons.status(world.user_id, session_id)).code == (
        "session_not_found"
    )
    assert world.tryons.cached_status(world.user_id, session_id) is None


def test_what_the_database_told_does_not_replace_what_is_newer(world: World) -> None:
    session_id = world.start()
    newer = SessionState(Status.PROCESSING, began_at=1.0)
    world.spoil(
        "sessions.find",
        lambda: world.polls.advance(world.user_id, session_id, newer),
        after=True,
    )

    view = world.tryons.status(world.user_id, session_id)

    assert view.state == newer, "a status never goes back"
    assert world.told(session_id) == newer


@pytest.mark.parametrize(("seconds", "told"), [(9.9, True), (10, True), (10.1, False)])
def test_what_the_database_says_too_late_is_not_told(
    world: World, seconds: float, told: bool
) -> None:
    session_id = world.start()
    world.polls.states.clear()
    world.spoil("sessions.find", lambda: world.clock.sleep(seconds), after=True)

    if told:
        assert world.tryons.status(world.user_id, session_id).state.status is Status.QUEUED
    else:
        with pytest.raises(Unavailable):
            world.tryons.status(world.user_id, session_id)
        assert world.polls.states == {}


def test_a_delete_while_the_database_was_asked_is_noticed(world: World) -> None:
    session_id = world.start()
    world.spoil(
        "sessions.find", lambda: world.polls.mark_deleted(world.user_id, session_id), after=True
    )

    assert refused(lambda: world.tryons.status(world.user_id, session_id)).code == (
        "session_not_found"
    )


def test_a_look_is_shared_by_those_who_ask_for_the_same_session_of_theirs(world: World) -> None:
    mine, other = world.start(), world.start()
    world.database.claim(other)
    seen: list[Status] = []
    world.spoil(
        "sessions.find",
        lambda: seen.append(world.tryons.status(world.user_id, other).state.status),
    )

    assert world.tryons.status(world.user_id, mine).state.status is Status.QUEUED
    assert seen == [Status.PROCESSING]


def test_what_is_not_there_is_not_remembered(world: World) -> None:
    assert refused(lambda: world.tryons.status(world.user_id, "session"))

    assert world.polls.states == {}


def test_without_the_database_a_status_that_redis_does_not_know_cannot_be_told(
    world: World,
) -> None:
    session_id = world.start()
    world.spoil("sessions.find")

    with pytest.raises(Unavailable):
        world.tryons.status(world.user_id, session_id)


def test_a_failed_session_says_why_also_from_the_database(world: World) -> None:
    session_id = world.start()
    world.database.fail(session_id, "photo_rejected")

    view = world.tryons.status(world.user_id, session_id)

    assert view.state.failure == failed("photo_rejected").failure
    assert not view.needs_url
    assert view.eta is None


def test_only_a_success_needs_a_url(world: World) -> None:
    for state in (SessionState(Status.QUEUED), SessionState(Status.PROCESSING), failed("busy")):
        world.polls.advance(world.user_id, "session", state)
        view = world.tryons.cached_status(world.user_id, "session")
        assert view is not None
        assert not view.needs_url


def test_a_url_that_redis_has_is_not_signed_again(world: World) -> None:
    url = SignedUrl("https://signed.example/kept", START + timedelta(minutes=30))
    world.polls.results["session"] = url
    world.polls.advance(world.user_id, "session", SessionState(Status.SUCCESS))

    view = world.tryons.cached_status(world.user_id, "session")

    assert view is not None
    assert view.result == url


def test_a_url_is_that_of_the_users_own_picture_and_changes_nothing_else(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)
    view = world.tryons.status(world.user_id, session_id)
    asked = noted_signs(world)

    shown = world.tryons.with_result_url(view, world.user_id, session_id)

    path = f"try-on-results/{world.user_id}/{session_id}_result"
    assert asked == [[f"{path}.png", f"{path}_thumbnail.webp"]]
    assert replace(shown, result=None) == view
    assert shown.result is not None
    assert shown.result.expires_at == world.clock.now() + timedelta(hours=1)


def noted_signs(world: World) -> list[list[str]]:
    """What is signed from now on, call by call."""
    calls: list[list[str]] = []
    sign = world.bucket.sign

    def noting(paths: Collection[str]) -> object:
        calls.append(sorted(paths))
        return sign(paths)

    world.bucket.sign = noting  # type: ignore[method-assign, assignment]
    return calls


# -- status: how long it will take -------------------------------------------------------------


def test_a_status_comes_from_redis_and_else_from_the_database(world: World) -> None:
    session_id = world.start()
    assert world.tryons.cached_status(world.user_id, session_id) is None

    view = world.tryons.status(world.user_id, session_id)

    assert view.state.status is Status.QUEUED
    assert world.tryons.cached_status(world.user_id, session_id) == view
    world.database.rows.clear()
    assert world.tryons.status(world.user_id, session_id) == view


@pytest.mark.parametrize("whose", ["another user's", "nobody's", "a deleted one"])
def test_what_is_not_yours_is_not_there(world: World, whose: str) -> None:
    session_id, user_id = world.start(), world.user_id
    if whose == "another user's":
        user_id = str(uuid4())
    elif whose == "nobody's":
        session_id = str(uuid4())
    else:
        world.polls.mark_deleted(user_id, session_id)

    assert refused(lambda: world.tryons.status(user_id, session_id)).code == "session_not_found"


def test_a_success_needs_a_url(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)

    view = world.tryons.status(world.user_id, session_id)
    shown = world.tryons.with_result_url(view, world.user_id, session_id)

    assert view.needs_url
    assert world.tryons.cached_status(world.user_id, session_id) is None
    assert shown.result is not None
    assert shown.result.url.endswith(world.session(session_id).result_path)
    assert not shown.needs_url


def test_a_picture_that_is_not_there_has_no_url(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)
    world.bucket.objects.clear()
    view = world.tryons.status(world.user_id, session_id)

    assert world.tryons.with_result_url(view, world.user_id, session_id).result is None


NOW = START.timestamp()


@pytest.mark.parametrize(
    ("state", "typical", "eta"),
    [
        (SessionState(Status.QUEUED, queued_at=NOW), None, None),
        (SessionState(Status.QUEUED, queued_at=NOW), TypicalDurations(3, 40), 43),
        (SessionState(Status.QUEUED, queued_at=NOW - 10.5), TypicalDurations(3, 40), 33),
        (SessionState(Status.QUEUED, queued_at=NOW - 43), TypicalDurations(3, 40), None),
        (SessionState(Status.QUEUED), TypicalDurations(3, 40), None),
        (SessionState(Status.PROCESSING, queued_at=NOW - 99, began_at=NOW - 10),
         TypicalDurations(3, 40), 30),
        (SessionState(Status.PROCESSING, queued_at=NOW, began_at=NOW - 39.5),
         TypicalDurations(3, 40), 1),
        (SessionState(Status.PROCESSING, began_at=NOW - 40), TypicalDurations(3, 40), None),
        (SessionState(Status.SUCCESS, queued_at=NOW), TypicalDurations(3, 40), None),
        (failed("interrupted"), TypicalDurations(3, 40), None),
    ],
)  # fmt: skip
def test_an_eta_is_what_the_last_ones_took(
    world: World, state: SessionState, typical: TypicalDurations | None, eta: int | None
) -> None:
    session_id = str(uuid4())
    world.polls.typical = typical
    world.polls.advance(world.user_id, session_id, state)

    assert world.tryons.status(world.user_id, session_id).eta == eta


# -- the photo of another try-on ---------------------------------------------------------------


OTHER = str(uuid4())


def again(world: World, session_id: str, key: str | None = None) -> Started:
    """Try another garment on with the photo of a session."""
    world.add_garment(OTHER)
    return world.starter.start_with_photo_of(world.user_id, OTHER, session_id, key)


def test_the_photo_of_another_try_on_is_tried_on_without_being_sent_or_decoded_again(
    world: World,
) -> None:
    first = world.start(b"me")
    started = again(world, first)

    one, other = world.session(first).photo, world.session(started.session_id).photo
    assert one != other
    assert world.bucket.objects == {one: b"jpeg of me", other: b"jpeg of me"}
    assert world.queue.queue == [first, started.session_id]
    assert len(world.photos.owners) == 1


def test_it_stays_when_the_first_one_is_deleted(world: World) -> None:
    first = world.start(b"me")
    second = again(world, first).session_id

    world.tryons.delete(world.user_id, first)

    assert world.bucket.objects == {world.session(second).photo: b"jpeg of me"}


@pytest.mark.parametrize("limit", ["unfinished_per_user", "per_day_per_user", "waiting"])
def test_it_counts_as_any_other(limit: str) -> None:
    world = limited(**{limit: 1})
    first = world.start()

    with pytest.raises(Problem):
        again(world, first)

    assert len(world.bucket.objects) == 1


def _somebody_elses(world: World) -> str:
    return world.starter.start("somebody else", world.garment_id, b"them").session_id


def _never_there(world: World) -> str:
    return str(uuid4())


def _refused(world: World) -> str:
    session_id = world.start()
    world.database.fail(session_id, "photo_rejected")
    return session_id


def _without_its_photo(world: World) -> str:
    session_id = world.start()
    world.bucket.remove([world.session(session_id).photo])
    return session_id


def _from_before_this_service(world: World) -> str:
    session_id = world.start()
    row = world.session(session_id)
    world.database.rows[session_id] = replace(row, photo="https://elsewhere.example/me.jpg")
    return session_id


@pytest.mark.parametrize(
    "without",
    [_somebody_elses, _never_there, _refused, _without_its_photo, _from_before_this_service],
)
def test_a_photo_that_cannot_be_had_is_a_wrong_field_and_leaves_nothing(
    world: World, without: Callable[[World], str]
) -> None:
    source = without(world)
    before = dict(world.bucket.objects), dict(world.database.rows), dict(world.database.keys)

    problem = refused(lambda: again(world, source, "key"))

    assert (problem.code, list(problem.errors or ())) == ("invalid_fields", ["photoOf"])
    assert (world.bucket.objects, world.database.rows, world.database.keys) == before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["sessions.create", "pictures.copy", "jobs.enqueue"])
def test_what_of_it_could_not_be_taken_leaves_nothing(world: World, call: str, after: bool) -> None:
    first = world.start(b"me")
    world.clock.sleep(1)
    before = dict(world.bucket.objects), dict(world.database.rows)
    world.spoil(call, after=after)

    with pytest.raises(Unavailable):
        again(world, first, "key")

    assert (world.bucket.objects, world.database.rows) == before


def test_a_repeated_key_finds_it_also_when_the_photo_is_gone(world: World) -> None:
    first = world.start(b"me")
    found = [again(world, first, "key"), again(world, first, "key")]
    world.tryons.delete(world.user_id, first)
    found.append(again(world, first, "key"))

    assert len({one.session_id for one in found}) == 1
    assert [one.replayed for one in found] == [False, True, True]


def test_a_second_tap_on_it_is_no_second_try_on(world: World) -> None:
    first = world.start(b"me")
    tapped = [again(world, first).session_id for _ in range(2)]

    assert tapped[0] == tapped[1]


@pytest.mark.parametrize("key", [None, "another key"])
def test_the_same_garment_with_its_photo_is_the_same_try_on_while_it_is_under_way(
    world: World, key: str | None
) -> None:
    first = world.start(b"me")
    twice = [
        world.starter.start_with_photo_of(world.user_id, world.garment_id, first, key)
        for _ in range(2)
    ]
    world.runner.run(first)
    after = world.starter.start_with_photo_of(world.user_id, world.garment_id, first, key)

    assert [one.session_id for one in twice] == [first, first]
    assert (after.session_id == first) == (key is not None)
    assert len(world.provider.submitted) == 1


def test_a_photo_from_before_this_service_is_made_safe_first(world: World) -> None:
    first = world.start(b"me")
    world.database.fail(first, "interrupted")
    photo = world.session(first).photo
    world.bucket.put(photo, b"raw", "image/jpeg", replace=True)
    world.database.keys.clear()

    second = again(world, first).session_id

    assert world.bucket.objects[world.session(second).photo] == b"jpeg of raw"


def test_what_is_being_undone_is_not_found_again(world: World) -> None:
    """Else its user would be told that it was taken, and then that it is not there."""
    first = world.start(b"me")
    world.clock.sleep(1)
    world.bucket.remove([world.session(first).photo])
    world.spoil("sessions.undo")

    assert refused(lambda: again(world, first, "key")).code == "idempotency_in_progress"


# -- history ---------------------------------------------------------------------------------


def test_the_history_has_ended_ones_newest_first(world: World) -> None:
    ended = []
    for _ in range(3):
        session_id = world.start()
        world.runner.run(session_id)
        ended.append(session_id)
    world.start()

    newest = world.tryons.history(world.user_id, 2)
    oldest = world.tryons.history(world.user_id, 2, (newest[-1].created_at, newest[-1].id))

    assert [s.id for s in [*newest, *oldest]] == ended[::-1]


def test_it_has_those_under_way_or_all_if_asked_for(world: World) -> None:
    ended = world.start()
    world.runner.run(ended)
    waiting, running = world.start(), world.start()
    world.database.claim(running)

    unfinished = world.tryons.history(world.user_id, 10, None, UNFINISHED)
    everything = world.tryons.history(world.user_id, 10, None, tuple(Status))

    assert {session.id for session in unfinished} == {waiting, running}
    assert {session.id for session in everything} == {ended, waiting, running}


def test_each_of_its_pictures_has_a_url_if_it_is_there(world: World) -> None:
    world.bucket.objects["garments/shirt.png"] = b"shirt"
    done, undone = world.start(), world.start()
    world.runner.run(done)
    world.database.fail(undone, "provider_failed")
    world.bucket.remove([world.session(undone).photo])

    entries = world.tryons.with_urls(world.tryons.history(world.user_id, 10))
    first, second = sorted(entries, key=lambda entry: entry.session.id != done)

    assert first.photo_url
    assert first.result_url
    assert first.ai_generated
    assert first.garment
    assert first.garment.image_url
    assert (second.photo_url, second.result_url, second.ai_generated) == (None, None, False)


def test_all_pictures_of_a_page_are_signed_at_once(world: World) -> None:
    sessions = []
    for _ in range(3):
        session_id = world.start()
        world.runner.run(session_id)
        sessions.append(world.session(session_id))
    page = world.tryons.history(world.user_id, 10)
    asked = noted_signs(world)

    world.tryons.with_urls(page)

    named = {path for one in sessions for path in (one.photo, one.result) if path}
    small = {thumbnail_path(one.result_path) for one in sessions}
    assert asked == [sorted(named | small | {"garments/shirt.png"})]


def test_an_empty_page_has_no_entries(world: World) -> None:
    assert world.tryons.history(world.user_id, 10) == []
    assert world.tryons.with_urls([]) == []


def test_the_history_is_the_users_own(world: World) -> None:
    theirs = world.starter.start(str(uuid4()), world.garment_id, b"photo").session_id
    world.database.fail(theirs, "interrupted")

    assert world.tryons.history(world.user_id, 10) == []


def test_pages_continue_where_times_are_equal(world: World) -> None:
    started = [world.start() for _ in range(5)]
    for session_id in started:
        world.database.fail(session_id, "interrupted")
    seen: list[str] = []
    before = None
    while page := world.tryons.history(world.user_id, 2, before):
        seen += [session.id for session in page]
        before = page[-1].created_at, page[-1].id

    assert seen == sorted(started, reverse=True)


def test_without_storage_the_history_cannot_be_shown(world: World) -> None:
    world.database.fail(world.start(), "interrupted")
    world.spoil("pictures.sign")

    with pytest.raises(Unavailable):
        world.tryons.with_urls(world.tryons.history(world.user_id, 10))


def test_of_the_bucket_only_the_users_own_pictures_are_signed(world: World) -> None:
    """A row from before this service may name anything."""
    session_id = world.start()
    world.database.fail(session_id, "interrupted")
    others = f"user-uploads/{uuid4()}/1_original.jpg"
    world.bucket.objects[others] = b"somebody else"
    session = replace(world.session(session_id), photo=others, result=f"{world.user_id}/x.png")

    (entry,) = world.tryons.with_urls([session])

    assert (entry.photo_url, entry.result_url) == (None, None)


def test_a_picture_that_an_old_row_has_elsewhere_is_shown(world: World) -> None:
    session_id = world.start()
    elsewhere = "https://cdn.shop.example/me.jpg"

    assert own_pictures(replace(world.session(session_id), photo=elsewhere)) == [elsewhere]
    assert own_pictures(replace(world.session(session_id), photo="http" + elsewhere)) == []


def test_a_delete_removes_nobody_elses_pictures(world: World) -> None:
    session_id = world.start()
    others = f"user-uploads/{uuid4()}/1_original.jpg"
    world.bucket.objects[others] = b"somebody else"
    world.database.rows[session_id] = replace(world.session(session_id), photo=others)

    world.tryons.delete(world.user_id, session_id)

    assert others in world.bucket.objects


def test_a_row_without_a_photo_is_shown_and_deleted(world: World) -> None:
    session_id = world.start()
    world.database.fail(session_id, "interrupted")
    bare = replace(world.session(session_id), photo=None)

    (entry,) = world.tryons.with_urls([bare])

    assert (entry.photo_url, entry.result_url, entry.ai_generated) == (None, None, False)


def test_a_garment_that_was_removed_is_none(world: World) -> None:
    world.runner.run(world.start())
    world.database.garments.clear()

    (entry,) = world.tryons.with_urls(world.tryons.history(world.user_id, 10))

    assert entry.garment is None


# -- delete ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "processing", "success", "failed"])
def test_a_delete_in_any_state_takes_everything(world: World, state: str) -> None:
    session_id = world.start()
    if state == "success":
        world.runner.run(session_id)
    elif state != "queued":
        world.database.claim(session_id)
    if state == "failed":
        world.database.fail(session_id, "interrupted")

    world.tryons.delete(world.user_id, session_id)

    assert world.database.rows == {}
    assert world.bucket.objects == {}
    assert refused(lambda: world.tryons.status(world.user_id, session_id))
    assert (session_id in world.queue.cancelled_ids) == (state in ("queued", "processing"))


def test_a_second_delete_and_anothers_find_nothing(world: World) -> None:
    session_id = world.start()

    anothers = refused(lambda: world.tryons.delete(str(uuid4()), session_id))
    world.tryons.delete(world.user_id, session_id)
    second = refused(lambda: world.tryons.delete(world.user_id, session_id))

    assert (anothers.code, second.code) == ("session_not_found", "session_not_found")


@pytest.mark.parametrize("call", ["jobs.cancel", "pictures.remove"])
def test_what_a_delete_cannot_reach_is_left_to_the_sweep(world: World, call: str) -> None:
    session_id = world.start()
    world.spoil(call)

    world.tryons.delete(world.user_id, session_id)
    world.sweep.run_once()

    assert world.database.rows == {}
    assert world.bucket.objects == {}


def test_a_delete_is_told_to_polls_even_of_what_was_not_there(world: World) -> None:
    session_id = world.start()
    world.polls.advance(world.user_id, session_id, SessionState(Status.QUEUED))
    world.database.undo(session_id)

    refused(lambda: world.tryons.delete(world.user_id, session_id))

    assert refused(lambda: world.tryons.status(world.user_id, session_id))


def test_somebody_elses_delete_changes_nothing(world: World) -> None:
    session_id = world.start()
    world.runner.run(session_id)

    refused(lambda: world.tryons.delete(str(uuid4()), session_id))

    assert world.tryons.status(world.user_id, session_id).state.status is Status.SUCCESS
    assert len(world.bucket.objects) == 2
    assert world.queue.cancelled_ids == set()


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_call_does_not_make_somebody_elses_session_ones_own(
    world: World, after: bool
) -> None:
    session_id = world.start()
    world.spoil("sessions.delete", after=after)

    assert refused(lambda: world.tryons.delete(str(uuid4()), session_id)).code == (
        "session_not_found"
    )
    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert world.queue.cancelled_ids == set()


def test_a_delete_takes_also_a_result_that_no_row_names_yet(world: World) -> None:
    session_id = world.start()
    world.database.claim(session_id)
    world.bucket.objects[world.session(session_id).result_path] = b"just stored"

    world.tryons.delete(world.user_id, session_id)

    assert world.bucket.objects == {}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_a_run_that_was_not_told_of_a_delete_finds_no_row(world: World, status: Status) -> None:
    session_id = world.start()
    world.database.rows[session_id] = replace(world.session(session_id), status=status)
    world.spoil("jobs.cancel")

    world.tryons.delete(world.user_id, session_id)
    world.runner.run(session_id)

    assert world.provider.submitted == []
    assert world.bucket.objects == {}


def test_a_second_delete_while_storage_is_away_finds_nothing(world: World) -> None:
    session_id = world.start()
    world.spoil("pictures.remove", times=2)
    world.tryons.delete(world.user_id, session_id)
    assert len(world.bucket.objects) == 1

    assert refused(lambda: world.tryons.delete(world.user_id, session_id)).code == (
        "session_not_found"
    )


def test_a_delete_takes_nothing_of_the_users_other_sessions(world: World) -> None:
    kept, gone = world.start(), world.start()

    world.tryons.delete(world.user_id, gone)

    assert list(world.database.rows) == [kept]
    assert set(world.bucket.objects) == {world.session(kept).photo}
    assert world.queue.queue == [kept]


def test_without_the_database_nothing_is_deleted(world: World) -> None:
    session_id = world.start()
    for _ in range(2):
        world.spoil("sessions.delete")

    with pytest.raises(Unavailable):
        world.tryons.delete(world.user_id, session_id)

    assert world.tryons.status(world.user_id, session_id)
    assert len(world.bucket.objects) == 1


@pytest.mark.parametrize("done", [False, True])
def test_a_delete_whose_answer_was_lost_says_what_it_did(world: World, done: bool) -> None:
    session_id = world.start()
    world.database.claim(session_id)
    world.spoil("sessions.delete", after=done)

    world.tryons.delete(world.user_id, session_id)

    assert world.database.rows == {}
    assert session_id in world.queue.cancelled_ids
    assert refused(lambda: world.tryons.status(world.user_id, session_id))


def test_times_are_utc(world: World) -> None:
    assert world.session(world.start()).created_at == datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert timedelta(0) == START.utcoffset()
