"""Who asks for the same thing at the same time shares one call."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vton.errors import Unavailable
from vton.single_flight import SingleFlight

ASKERS = 32


def wait_for(flight: SingleFlight[int], others: int) -> None:
    """Wait until so many others wait for the call that is under way."""
    (future,) = flight._flights.values()
    while len(future._condition._waiters) < others:  # type: ignore[attr-defined]
        threading.Event().wait(0.001)


@pytest.mark.parametrize("fails", [False, True])
def test_all_who_ask_meanwhile_get_what_one_call_brings(fails: bool) -> None:
    flight, calls = SingleFlight[int](), []

    def call() -> int:
        calls.append(1)
        wait_for(flight, ASKERS - 1)
        if fails:
            raise Unavailable
        return 7

    with ThreadPoolExecutor(ASKERS) as threads:
        futures = [threads.submit(flight.do, "key", call) for _ in range(ASKERS)]
        came = [future.exception() or future.result() for future in futures]

    assert len(calls) == 1
    assert all(isinstance(one, Unavailable) if fails else one == 7 for one in came)


def test_another_key_and_a_later_asker_make_a_call_of_their_own() -> None:
    flight, calls = SingleFlight[int](), []

    def call() -> int:
        calls.append(1)
        return flight.do("other", lambda: 1) if len(calls) == 1 else len(calls)

    assert [flight.do("key", call), flight.do("key", call)] == [1, 2]


def test_who_waits_is_not_ended_with_who_asked() -> None:
    flight = SingleFlight[int]()
    with ThreadPoolExecutor(1) as threads:
        others = []

        def call() -> int:
            others.append(threads.submit(flight.do, "key", lambda: 1))
            wait_for(flight, 1)
            raise SystemExit

        with pytest.raises(SystemExit):
            flight.do("key", call)

        assert isinstance(others[0].exception(), Unavailable)
