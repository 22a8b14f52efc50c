"""Deadlines go by the database's clock, whatever the machine's own says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fakes import START, FakeClock

from vton.adapters.supabase.clock import REFRESH_SECONDS, WARN_SECONDS, DatabaseClock
from vton.errors import Unavailable


@dataclass
class OwnClock:
    """A machine's clock, `ahead` of the true time."""

    true: FakeClock
    ahead: float = 0.0

    def now(self) -> datetime:
        return self.true.now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return self.true.monotonic()

    def sleep(self, seconds: float) -> None:
        self.true.sleep(seconds)


@dataclass
class Database:
    """Answers `database_time`, after `takes` seconds; what it raises, where it is `away`."""

    true: FakeClock
    takes: float = 0.0
    away: bool = False
    answer: object = None
    asked: int = 0

    def rpc(self, function: str, arguments: dict[str, object]) -> Any:
        assert (function, arguments) == ("database_time", {})
        return SimpleNamespace(execute=self._execute)

    def _execute(self) -> Any:
        self.asked += 1
        self.true.sleep(self.takes / 2)
        if self.away:
            raise httpx.ConnectError("away")
        told = self.true.now().timestamp() if self.answer is None else self.answer
        self.true.sleep(self.takes / 2)
        return SimpleNamespace(data=told)


@dataclass
class Ground:
    """A machine and a database."""

    true: FakeClock = field(default_factory=FakeClock)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.own, self.database = OwnClock(self.true), Database(self.true)
        self.clock = DatabaseClock(self.database, self.own, self.waiting.append)  # type: ignore[arg-type]

    def behind(self) -> float:
        """By how many seconds the clock is behind the true time."""
        return (self.true.now() - self.clock.now()).total_seconds()


@pytest.fixture
def ground() -> Ground:
    """A machine whose clock is right."""
    return Ground()


def test_a_wrong_clock_of_the_machine_changes_nothing(ground: Ground) -> None:
    ground.own.ahead = 660.0

    assert ground.clock.measure() == 660.0
    assert ground.behind() == 0
    ground.true.sleep(30)
    assert ground.behind() == 0
    ground.own.ahead = -9999.0  # it is set while we run
    assert ground.behind() == 0


def test_before_the_first_answer_it_is_the_machines_own(ground: Ground) -> None:
    ground.own.ahead = 7.0

    assert ground.clock.now() == START + timedelta(seconds=7)
    assert len(ground.waiting) == 1


def test_nobody_waits_for_the_next_answer(ground: Ground) -> None:
    ground.clock.measure()
    ground.true.sleep(REFRESH_SECONDS + 1)

    ground.clock.now()
    ground.clock.now()

    assert ground.database.asked == 1
    assert len(ground.waiting) == 1
    ground.waiting[0]()
    assert ground.database.asked == 2


def test_while_the_database_is_away_time_goes_on(ground: Ground) -> None:
    ground.own.ahead = 660.0
    ground.clock.measure()
    ground.database.away = True
    ground.true.sleep(3600)

    assert ground.behind() == 0
    ground.waiting[0]()
    assert ground.behind() == 0
    with pytest.raises(Unavailable):
        ground.clock.measure()


def test_half_of_a_slow_answers_time_is_added(ground: Ground) -> None:
    ground.database.takes = 3.0

    ground.clock.measure()

    assert ground.behind() == 0


@pytest.mark.parametrize(("takes", "answer"), [(4.1, None), (0, "now"), (0, []), (0, None)])
def test_an_answer_that_tells_nothing_is_none(ground: Ground, takes: float, answer: object) -> None:
    ground.database.takes, ground.database.answer = takes, answer
    if (takes, answer) == (0, None):
        ground.database.answer = {"code": "PGRST"}
    ground.own.ahead = 1.0

    with pytest.raises(Unavailable):
        ground.clock.measure()

    assert ground.behind() == -1


def test_a_skew_is_told_once_an_hour(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    for ahead, seconds in ((5.0, 0), (5.1, 0), (660.0, WARN_SECONDS), (-60.0, 1), (-60.0, 9)):
        ground.own.ahead = ahead
        ground.true.sleep(seconds)
        ground.clock.measure()

    assert [message.partition(" the database's")[0] for message in caplog.messages] == [
        "this machine's clock is 5 s ahead of", "this machine's clock is 60 s behind",
    ]  # fmt: skip
