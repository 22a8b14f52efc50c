"""How a process begins: it waits for what it cannot do without, and says with whom it talks."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from fakes import FakeClock

from config import Config
from vton import start
from vton.adapters.redis.connection import PROJECT_KEY, WrongRedis, check_redis, refuse_wrong_redis
from vton.errors import Unavailable
from vton.version import VERSION, release
from vton.wiring import Services, connect

SETTINGS = {
    "SUPABASE_URL": "https://x.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://:the-password@127.0.0.1:1/0",
    "PIXAZO_API_KEY": "the-provider-key",
}


class Redis(FakeStrictRedis):
    """A Redis that is no cluster; `info` of fakeredis knows nothing of that."""

    def info(self, *_: Any, **__: Any) -> Any:
        return {"cluster_enabled": 0}


@pytest.fixture
def config() -> Config:
    """Settings that lead nowhere."""
    return Config.from_env(SETTINGS)


def services(config: Config) -> tuple[Services, FakeClock]:
    """What a process works with, and a clock that asks it to end after five seconds."""
    clock = FakeClock()
    clock.after(5, clock.stop)
    shutdown: Any = clock
    return replace(connect(config), shutdown=shutdown), clock


def test_a_worker_waits_for_redis_until_it_is_asked_to_end(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    process, clock = services(config)

    assert start.worker(config, process) is False

    assert clock.seconds >= 5
    assert caplog.messages
    assert set(caplog.messages) == {"waiting: Redis does not do what it is told (ConnectionError)"}


def test_what_it_says_when_it_is_ready_has_hosts_and_limits_and_no_secret(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vton.start")
    process, _ = services(config)

    start.web(config, process)

    (line,) = [vars(one) for one in caplog.records if one.getMessage() == "ready"]
    assert (line["supabase"], line["redis"]) == ("x.supabase.co", "127.0.0.1:1")
    assert (line["provider"], line["paid_per_day"]) == ("gateway.pixazo.ai", 1000)
    assert line["release"] == VERSION
    assert not [
        word for word in ("the-password", "sb_secret", "the-provider-key") if word in str(line)
    ]


def test_the_first_project_owns_a_redis() -> None:
    redis = Redis()
    for _ in range(2):
        check_redis(redis, "x.supabase.co")

    with pytest.raises(WrongRedis, match=r"used by the project x\.supabase\.co, not y"):
        check_redis(redis, "y.supabase.co")
    with pytest.raises(SystemExit, match="REDIS_URL: it is used by the project"):
        refuse_wrong_redis(redis, "y.supabase.co")

    redis.delete(PROJECT_KEY)
    check_redis(redis, "y.supabase.co")


def test_a_redis_that_is_away_is_not_refused() -> None:
    server = FakeServer()
    server.connected = False
    redis = Redis(server=server)

    with pytest.raises(Unavailable):
        refuse_wrong_redis(redis, "x.supabase.co")


@pytest.mark.parametrize(
    ("commit", "found"),
    [("", VERSION), ("0123456789abcdef", f"{VERSION}+01234567"), ("x y; z", VERSION)],
)
def test_a_release_names_its_commit(
    monkeypatch: pytest.MonkeyPatch, commit: str, found: str
) -> None:
    monkeypatch.setenv("HEROKU_SLUG_COMMIT", commit)

    assert release() == found
