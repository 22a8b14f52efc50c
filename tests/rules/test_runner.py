"""The rules of a run: whatever happens, a session ends, and is paid for once at most."""

import pytest
from fakes import World

from vton.tryon.model import Status


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def test_a_run_ends_in_a_picture(world: World) -> None:
    session_id = world.start()

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.status, session.result) == (Status.SUCCESS, session.result_path)
    assert world.bucket.objects[session.result_path] == b"png"
    assert world.outcomes(session_id) == ["accepted"]
    assert [state.status for state in world.polls.told] == [Status.PROCESSING, Status.SUCCESS]
