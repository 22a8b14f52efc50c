"""What users do with try-ons: start, poll, list, delete, through fakes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fakes import START, World

from vton.errors import Problem, Unavailable
from vton.tryon.model import SessionState, Status, failed, photo_path
from vton.tryon.ports.database import Limits
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.service import PHOTO_NAME_TRIES, STARTING_SECONDS

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
    world.circuit_breaker.trip()

    problem = refused(world.start)

    assert (problem.code, problem.retry_after) == ("provider_paused", 60)
    assert world.database.rows == {}


def test_an_unknown_garment_is_a_wrong_field(world: World) -> None:
    problem = refused(lambda: world.tryons.create(world.user_id, str(uuid4()), b"photo"))

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
    first = world.tryons.create(world.user_id, world.garment_id, b"photo", "key")
    again = world.tryons.create(world.user_id, world.garment_id, b"photo", "key")

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
    garment = refused(lambda: world.tryons.create(world.user_id, other_garment, b"photo", "key"))

    assert (photo.code, garment.code) == ("idempotency_mismatch", "idempotency_mismatch")


def test_two_users_may_have_the_same_key(world: World) -> None:
    other = str(uuid4())
    first = world.start(key="key")

    second = world.tryons.create(other, world.garment_id, b"photo", "key")

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

    assert world.tryons.create(str(uuid4()), world.garment_id, b"photo").session_id


# -- status ----------------------------------------------------------------------------------


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


def test_without_the_database_nothing_is_deleted(world: World) -> None:
    session_id = world.start()
    world.spoil("sessions.delete")

    with pytest.raises(Unavailable):
        world.tryons.delete(world.user_id, session_id)

    assert world.tryons.status(world.user_id, session_id)
    assert len(world.bucket.objects) == 1


def test_times_are_utc(world: World) -> None:
    assert world.session(world.start()).created_at == datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert timedelta(0) == START.utcoffset()
