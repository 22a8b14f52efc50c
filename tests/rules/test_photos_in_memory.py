"""How many photos one process holds: nobody fills its memory with theirs."""

import threading
from contextlib import ExitStack

import pytest

from vton.deadline import within
from vton.errors import Unavailable
from vton.web.uploads import MOST_OF_ONE, MOST_PHOTOS, PhotosInMemory


@pytest.fixture
def photos() -> PhotosInMemory:
    """Those of one process."""
    return PhotosInMemory()


def refused(photos: PhotosInMemory, user_id: str) -> bool:
    """Whether there is no room for one more, asked by somebody who has no time."""
    try:
        with within(0), photos.one_of(user_id):
            return False
    except Unavailable:
        return True


def test_a_user_holds_a_few_and_keeps_nobody_else_waiting(photos: PhotosInMemory) -> None:
    with ExitStack() as held:
        for _ in range(MOST_OF_ONE):
            held.enter_context(photos.one_of("a"))

        assert refused(photos, "a")
        assert not refused(photos, "b")
    assert not refused(photos, "a")


def test_all_users_hold_no_more_than_there_is_memory_for(photos: PhotosInMemory) -> None:
    with ExitStack() as held:
        for number in range(MOST_PHOTOS):
            held.enter_context(photos.one_of(str(number)))

        assert refused(photos, "one more")
    assert not refused(photos, "one more")
    assert not photos._held


def test_who_waits_has_their_turn(photos: PhotosInMemory) -> None:
    turn = threading.Event()

    def wait() -> None:
        with photos.one_of("a"):
            turn.set()

    with ExitStack() as held:
        for _ in range(MOST_OF_ONE):
            held.enter_context(photos.one_of("a"))
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not turn.is_set()
    waiting.join(5)

    assert turn.is_set()
