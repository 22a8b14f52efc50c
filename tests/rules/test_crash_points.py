"""A process that dies at any point of a run: the next one ends it, and nothing is paid twice."""

import pytest
from fakes import World

from vton.errors import Unavailable
from vton.tryon.model import Status
from vton.tryon.ports.database import Outcome
from vton.tryon.ports.provider import Inputs
from vton.tryon.retries import Interrupted
from vton.tryon.submitter import LAST_TRIES

CALLS = [
    "sessions.claim", "vendor.prepare", "sessions.claim_submit", "vendor.submit",
    "sessions.record_outcome", "vendor.poll", "vendor.download_result", "pictures.put",
    "sessions.succeed",
]  # fmt: skip
"""What a run calls, in its order."""
OPEN = ("vendor.submit", "sessions.record_outcome")
"""Where a death leaves open whether the provider has accepted the submit."""


class Killed(BaseException):
    """What `kill -9` does to a run: no handler of ours sees it through."""


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def die(world: World, call: str, *, after: bool) -> str:
    """Start a session, and have its run die at a call. Return its id."""
    session_id = world.start()

    def kill() -> None:
        # Nothing that the dying run still does reaches anybody.
        for method in ("record_outcome", "fail"):
            for _ in range(20):
                world.sessions.spoil(method, Killed(), after=False)
        raise Killed

    world.spoil(call, kill, after=after)
    with pytest.raises(Killed):
        world.runner.run(session_id)
    for port in (world.sessions, world.pictures, world.vendor):
        port._spoiled.clear()
    return session_id


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_another_run_ends_what_a_dead_one_began(world: World, call: str, after: bool) -> None:
    session_id = die(world, call, after=after)
    before = len(world.provider.submitted)

    world.runner.run(session_id)

    claimed_only = (call == "sessions.claim_submit" and after) or (
        call in OPEN and not (call == "sessions.record_outcome" and after)
    )
    session = world.session(session_id)
    if claimed_only:
        assert (session.status, session.error_code) == (Status.FAILED, "provider_uncertain")
        assert len(world.provider.submitted) == before
    else:
        assert session.status is Status.SUCCESS
        assert world.bucket.objects[session.result_path] == b"png"
    assert world.outcomes(session_id).count("accepted") <= 1
    assert len(world.provider.submitted) <= 1


def test_who_finds_a_young_claim_waits_for_the_run_that_has_it(world: World) -> None:
    session_id = die(world, "vendor.submit", after=False)
    attempt = world.database.claims[session_id]
    task = world.provider.submit(Inputs("photo", "garment"))

    def finish() -> None:
        world.database.record_outcome(attempt, Outcome.ACCEPTED, task)

    world.clock.after(20, finish)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("call", [c for c in CALLS if not c.startswith("vendor")])
def test_a_run_outlasts_what_is_away(world: World, call: str, times: int, after: bool) -> None:
    session_id = world.start()
    world.spoil(call, Unavailable(), times=times, after=after)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 1


@pytest.mark.parametrize("seconds", [0.5, 4, 7, 12])
def test_a_process_that_ends_leaves_its_session_to_the_next(world: World, seconds: float) -> None:
    world.provider.takes = 20
    session_id = world.start()
    world.clock.after(seconds, world.clock.stop)

    with pytest.raises(Interrupted):
        world.runner.run(session_id)
    assert world.session(session_id).status is Status.PROCESSING
    world.clock.stopping = False
    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 1


def test_a_process_that_is_to_end_before_the_submit_does_not_submit(world: World) -> None:
    session_id = world.start()
    world.clock.stop()

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert world.provider.submitted == []


def test_an_outcome_is_recorded_also_while_the_process_is_to_end(world: World) -> None:
    session_id = world.start()
    world.spoil("vendor.submit", world.clock.stop, after=True)
    world.spoil("sessions.record_outcome", times=LAST_TRIES - 1)

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert world.outcomes(session_id) == ["accepted"]
    assert world.database.tasks[session_id]


def test_but_not_for_ever(world: World) -> None:
    session_id = world.start()
    world.spoil("vendor.submit", world.clock.stop, after=True)
    world.spoil("sessions.record_outcome", times=LAST_TRIES + 5)

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert world.outcomes(session_id) == ["open"]
    assert LAST_TRIES - 1 <= world.clock.seconds <= LAST_TRIES + 1


def test_an_outcome_that_cannot_be_recorded_now_is_recorded_later(world: World) -> None:
    session_id = world.start()
    world.spoil("sessions.record_outcome", times=100)

    world.runner.run(session_id)

    assert world.outcomes(session_id) == ["accepted"]
    assert world.session(session_id).status is Status.SUCCESS


def test_without_a_database_at_the_start_a_run_waits(world: World) -> None:
    session_id = world.start()
    world.spoil("sessions.claim", times=3)

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert world.clock.seconds >= 3 * 3
