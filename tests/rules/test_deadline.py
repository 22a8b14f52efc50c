"""A request's calls have what is left of its time, and no more."""

from collections.abc import Callable

import httpx
import pytest

from vton.adapters.supabase.client import connect_supabase
from vton.deadline import REQUEST_SECONDS, in_time, seconds_left, within
from vton.tryon.starter import REPLAY_PAUSE_SECONDS, REPLAY_TRIES, UNDO_SECONDS

ROUTER_SECONDS = 30


def timeouts(call: Callable[[httpx.Client], object]) -> list[dict[str, float]]:
    """What calls of Supabase may take, step by step; nobody answers them."""
    client = connect_supabase("http://127.0.0.1:1", "sb_secret_x", 1)
    session: httpx.Client = client.options.httpx_client  # type: ignore[assignment]
    seen = []

    def note(request: httpx.Request) -> None:
        seen.append(request.extensions["timeout"])
        raise httpx.ConnectError("nobody", request=request)

    session.event_hooks["request"].append(note)
    with pytest.raises(httpx.ConnectError):
        call(session)
    return seen


def ask(session: httpx.Client) -> object:
    """One call."""
    return session.get("http://127.0.0.1:1/")


def test_outside_a_request_a_call_has_its_own_time() -> None:
    assert timeouts(ask) == [{"connect": 3, "read": 10, "write": 10, "pool": 30}]


def test_a_call_has_what_is_left() -> None:
    with within(5):
        (given,) = timeouts(ask)

    assert given["connect"] == 3
    assert all(4 < given[step] <= 5 for step in ("read", "write", "pool"))


def test_no_call_is_made_when_time_is_over() -> None:
    client = connect_supabase("http://127.0.0.1:1", "sb_secret_x", 1)
    with within(-1), pytest.raises(httpx.PoolTimeout):
        ask(client.options.httpx_client)  # type: ignore[arg-type]


def test_what_is_undone_has_its_own_time() -> None:
    with within(-1):
        with within(5):
            left = seconds_left()
            assert left is not None
            assert 4 < left <= 5
        over = seconds_left()
        assert over is not None
        assert over < 0
    assert seconds_left() is None


def test_a_view_is_bounded_below_the_routers_patience() -> None:
    @in_time
    def view() -> float | None:
        return seconds_left()

    left = view()
    assert left is not None
    assert REQUEST_SECONDS - 1 < left <= REQUEST_SECONDS
    assert REQUEST_SECONDS + UNDO_SECONDS < ROUTER_SECONDS
    assert REPLAY_TRIES * REPLAY_PAUSE_SECONDS < REQUEST_SECONDS
    assert seconds_left() is None
