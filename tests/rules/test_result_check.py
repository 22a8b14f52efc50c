"""A result that shows nothing new is a success, an alarm and a word in the ledger."""

import logging

import pytest
from fakes import World

from vton.tryon.model import Status
from vton.tryon.ports.photos import ResultKind
from vton.tryon.result_check import PAUSE_SECONDS


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def run(world: World) -> tuple[str, ResultKind | None]:
    """Run a session to its success. Return its id and what the ledger says of its result."""
    session_id = world.start()
    world.runner.run(session_id)
    assert world.session(session_id).status is Status.SUCCESS
    return session_id, kind_of(world, session_id)


def kind_of(world: World, session_id: str) -> ResultKind | None:
    """What the ledger says of a session's result."""
    (submit,) = (s for s in world.database.ledger.values() if s.session_id == session_id)
    return submit.result_kind


@pytest.mark.parametrize(
    ("kind", "alarm"),
    [
        ("photo", "the result is the photo itself: is PIXAZO_GARMENT_FIELD right?"),
        ("blank", "the result is blank: is PIXAZO_GARMENT_FIELD right?"),
    ],
)
def test_a_result_with_nothing_new_is_an_alarm(
    world: World, kind: ResultKind, alarm: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.photos.result_kind = kind

    _, found = run(world)

    assert found == kind
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert said == [f"ALARM {alarm}"]


def test_a_new_picture_is_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert run(world)[1] == "new"

    assert "ALARM" not in caplog.text


def test_the_stored_result_is_compared_with_the_stored_photo(world: World) -> None:
    session_id, _ = run(world)

    photo = world.bucket.objects[world.session(session_id).photo or ""]
    assert world.photos.compared == [(b"png", photo)]


def test_what_cannot_be_told_is_left_open(world: World) -> None:
    world.photos.result_kind = None

    assert run(world)[1] is None


def test_polls_are_told_of_the_success_first(world: World) -> None:
    told: list[object] = []
    session_id = world.start()
    world.spoil("pictures.get", lambda: told.append(world.told(session_id)))

    world.runner.run(session_id)

    assert [getattr(one, "status", None) for one in told] == [Status.SUCCESS]


@pytest.mark.parametrize("fault", ["pictures.get", "sessions.record_result_kind"])
def test_an_outage_leaves_it_open_and_the_session_as_it_is(world: World, fault: str) -> None:
    world.spoil(fault)

    assert run(world)[1] is None


def test_a_photo_that_is_gone_leaves_it_open(world: World) -> None:
    session_id = world.start()
    world.spoil(
        "sessions.succeed", lambda: world.bucket.remove([world.session(session_id).photo or ""])
    )

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert kind_of(world, session_id) is None


def test_in_a_busy_hour_not_every_result_is_looked_at(world: World) -> None:
    """Looking costs as much as storing does."""
    world.provider.takes, world.submitter.__dict__["first_poll"] = 0.0, 0.0
    first, second = run(world)[1], run(world)[1]
    world.clock.sleep(PAUSE_SECONDS)

    assert (first, second, run(world)[1]) == ("new", None, "new")


def test_one_is_looked_at_at_a_time(world: World) -> None:
    second: list[ResultKind | None] = []
    world.provider.takes, world.submitter.__dict__["first_poll"] = 0.0, 0.0

    def meanwhile() -> None:
        world.clock.sleep(PAUSE_SECONDS)
        second.append(run(world)[1])

    world.spoil("pictures.get", meanwhile)

    assert run(world)[1] == "new"
    assert second == [None]
