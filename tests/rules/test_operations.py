"""Whether it is well: what the operator is told, by the page, the metrics and the doctor."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from prometheus_client import CollectorRegistry

from config import Config, ConfigError
from vton.cli.output import printable
from vton.doctor.settings import kind_of_key, look_at_settings, settings_that_are_wrong
from vton.errors import Unavailable
from vton.imaging.slots import MEGABYTE
from vton.operations.exposition import exposition
from vton.operations.model import (
    DatabaseOverview,
    Finding,
    Level,
    Overview,
    QueueOverview,
    WorkerState,
)
from vton.operations.verdict import verdict
from vton.operations.watch import KEPT_SECONDS, Watch
from vton.tryon.ports.pauses import Pause

AT = datetime(2026, 11, 27, 3, tzinfo=UTC)
DATABASE = DatabaseOverview(1, 2, 3.0, 40, {"success": 9}, 0, 2, "17.4")
QUEUE = QueueOverview(
    1, [WorkerState("dyno", "4", 2.0)], False, 10, 100, "noeviction", 4, 20, "Redis 8.0"
)
WELL = Overview(DATABASE, QUEUE, None, 1000, "0.2.0", AT)


def with_database(**changes: Any) -> Overview:
    """An overview in which this of the database is so."""
    return replace(WELL, database=replace(DATABASE, **changes))


def with_queue(**changes: Any) -> Overview:
    """An overview in which this of Redis is so."""
    return replace(WELL, queue=replace(QUEUE, **changes))


def test_all_is_well() -> None:
    assert [one.level for one in verdict(WELL)] == [Level.OK]


@pytest.mark.parametrize(
    ("overview", "level", "said"),
    [
        (replace(WELL, database=None, away={"database": "it is away"}), "failure", "it is away"),
        (replace(WELL, queue=None, away={"redis": "it is full"}), "failure", "it is full"),
        (with_queue(workers=[]), "failure", "no worker lives"),
        (with_queue(wants_money=True), "failure", "it wants money"),
        (
            with_queue(alarms=[(AT.timestamp() - 60, "ALARM the key")] * 3),
            "failure",
            "ALARM the key (3 times)",
        ),
        (replace(WELL, faults=["the table x is missing"]), "failure", "the table x is missing"),
        (replace(WELL, away={"storage": "no bucket"}), "failure", "no bucket"),
        (with_queue(policy="allkeys-lru"), "failure", "maxmemory-policy is allkeys-lru"),
        (with_queue(used_memory=81), "warning", "81% of its memory"),
        (with_queue(clients=17), "warning", "17 of 20 connections"),
        (with_database(oldest_seconds=121.0), "failure", "waited for 121 s to be taken"),
        (with_database(paid_today=1000), "failure", "1000 paid calls are used up"),
        (with_database(paid_today=801), "warning", "801 of the day's 1000"),
        (with_database(last_hour={"success": 6, "provider_failed": 4}), "warning", "4 of 10"),
        (replace(WELL, pause=Pause(AT, None, None)), "warning", "new try-ons are refused"),
        (replace(WELL, pause=Pause(AT, AT, None)), "warning", "until 2026-11-27 03:00 UTC"),
    ],
)
def test_what_is_not_well_is_said(overview: Overview, level: str, said: str) -> None:
    (found,) = verdict(overview)

    assert (found.level, said in found.found) == (level, True)


@pytest.mark.parametrize(
    "overview",
    [
        with_queue(used_memory=80), with_queue(used_memory=10**9, max_memory=0),
        with_queue(alarms=[(AT.timestamp() - 3600, "ALARM the key")]),
        with_queue(clients=16), with_queue(clients=500, max_clients=0), with_queue(policy=""),
        with_database(oldest_seconds=120.0), with_database(paid_today=800),
        replace(with_database(paid_today=10**6), paid_cap=0),
        with_database(last_hour={"success": 7, "provider_failed": 3}),
        with_database(last_hour={"provider_failed": 4}),
        with_database(last_hour={"success": 5, "deleted": 50}), with_database(last_hour={}),
    ],
)  # fmt: skip
def test_what_is_within_bounds_is_well(overview: Overview) -> None:
    assert [one.level for one in verdict(overview)] == [Level.OK]


def test_failures_come_first() -> None:
    overview = replace(with_queue(workers=[], clients=20), pause=Pause(AT, None, None))

    assert [one.level for one in verdict(overview)] == ["failure", "warning", "warning"]


# -- the watch -------------------------------------------------------------------------------


class Part:
    """A part that counts how often it is asked, and may be away."""

    def __init__(self, answer: object) -> None:
        self.answer, self.asked = answer, 0

    def overview(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    current = overview

    def faults(self) -> Any:
        return []


def all_there() -> dict[str, list[str]]:
    """Say that nothing is broken."""
    return {}


def test_one_look_is_for_all_who_ask_within_seconds() -> None:
    time = [0.0]
    database, redis, pauses = Part(DATABASE), Part(QUEUE), Part(None)
    watch: Any = Watch(database, redis, pauses, all_there, 1000, "1", lambda: time[0])  # type: ignore[arg-type]

    for time[0] in (0.0, KEPT_SECONDS - 0.1, KEPT_SECONDS, KEPT_SECONDS):
        assert watch.overview().database is DATABASE

    assert (database.asked, redis.asked, pauses.asked) == (2, 2, 2)


def test_what_is_away_is_named_and_the_rest_is_there() -> None:
    pauses = Part(None)
    watch: Any = Watch(Part(Unavailable("gone")), Part(QUEUE), pauses, all_there, 1000, "1")  # type: ignore[arg-type]

    seen = watch.overview()

    assert (seen.database, seen.queue, seen.pause) == (None, QUEUE, None)
    assert seen.away == {"database": "gone"}
    assert pauses.asked == 0


def test_what_a_new_try_on_needs_and_is_not_there_is_named() -> None:
    broken = {"redis": ["Redis takes no write: it is full"]}
    watch: Any = Watch(Part(DATABASE), Part(QUEUE), Part(None), lambda: broken, 1000, "1")  # type: ignore[arg-type]

    assert watch.overview().away == {"redis": "Redis takes no write: it is full"}


def test_an_answer_that_nobody_understands_is_none() -> None:
    watch: Any = Watch(Part(KeyError("queued")), Part(QUEUE), Part(None), all_there, 1000, "1")  # type: ignore[arg-type]

    assert watch.overview().away == {"database": "it is not understood (KeyError)"}


# -- /metrics --------------------------------------------------------------------------------


def shown(overview: Overview, counts: Any = None) -> dict[str, float]:
    """The samples that a scrape shows."""
    text = exposition(overview, counts or CollectorRegistry()).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_the_gauges_say_how_it_is_going() -> None:
    assert shown(replace(WELL, pause=Pause(AT, None, None))) == {
        'vton_up{part="database"}': 1, 'vton_up{part="redis"}': 1,
        'vton_up{part="storage"}': 1,
        "vton_paid_cap": 1000, "vton_paid_today": 40, "vton_paused": 1,
        'vton_sessions{state="queued"}': 1, 'vton_sessions{state="processing"}': 2,
        "vton_oldest_waiting_seconds": 3, "vton_erasures": 0, "vton_queue_depth": 1,
        "vton_workers": 1, "vton_circuit_breaker_open": 0, "vton_schema_faults": 0,
        "vton_redis_memory_bytes": 10, "vton_redis_max_memory_bytes": 100,
    }  # fmt: skip


def test_what_is_away_has_no_figures() -> None:
    away = {"database": "gone", "redis": "gone", "pauses": "gone"}

    assert shown(Overview(None, None, None, 5, "1", AT, away)) == {
        'vton_up{part="database"}': 0, 'vton_up{part="redis"}': 0,
        'vton_up{part="storage"}': 1, "vton_paid_cap": 5,
    }  # fmt: skip


def test_without_redis_the_counters_are_left_out() -> None:
    class Away:
        def collect(self) -> Any:
            raise Unavailable("gone")

    assert shown(WELL, Away()) == shown(WELL)


# -- doctor: the settings --------------------------------------------------------------------

SETTINGS = {
    "SUPABASE_URL": "https://x.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "rediss://:p@r.example:6379",
    "PIXAZO_API_KEY": "k",
    "CORS_ORIGINS": "https://shop.example",
}


def legacy(role: str) -> str:
    """A key of a project that still has JWTs as keys."""
    return jwt.encode({"role": role, "iss": "supabase"}, "s" * 32, "HS256")


def findings(**changes: str) -> list[Finding]:
    """What is said of these settings that is not fine."""
    config = Config.from_env({**SETTINGS, **changes})
    return [one for one in look_at_settings(config) if one.level is not Level.OK]


def test_sane_settings_are_fine() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("name", "value", "level", "said"),
    [
        ("SUPABASE_URL", "https://x.supabase.co/rest/v1", "failure", "has a path"),
        ("SUPABASE_URL", "http://x.supabase.co", "failure", "in clear"),
        ("SUPABASE_URL", "http://kong:8000", "warning", "http to kong"),
        ("SUPABASE_URL", "http://10.0.0.5:8000", "warning", "http to 10.0.0.5"),
        ("SUPABASE_PUBLIC_URL", "https://x.supabase.co/auth/v1", "failure", "has a path"),
        ("PIXAZO_BASE_URL", "http://gateway.pixazo.ai", "failure", "in clear"),
        ("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_x", "failure", "publishable"),
        ("SUPABASE_SERVICE_ROLE_KEY", legacy("anon"), "failure", "publishable"),
        ("SUPABASE_SERVICE_ROLE_KEY", "eyJ.x.y", "warning", "neither"),
        ("CORS_ORIGINS", "", "warning", "is not set"),
        ("MAX_PAID_PER_DAY", "0", "warning", "no cap"),
        ("RETENTION_DAYS", "0", "warning", "for ever"),
        ("SESSION_DEADLINE", "30", "warning", "30 s"),
        ("WORKER_CONCURRENCY", "151", "warning", "50 times a second"),
        ("DEMO_EMAIL", "a@example.com", "warning", "everybody"),
        ("ADMIN_PASSWORD", "short", "warning", "5 characters"),
    ],
)
def test_a_setting_that_makes_no_sense_is_said(
    name: str, value: str, level: str, said: str
) -> None:
    found = findings(**{name: value})

    assert [(one.level, said in one.found) for one in found] == [(level, True)]
    assert all(one.do for one in found)
    assert value not in str(found) or not value.startswith(("sb_", "eyJ"))


@pytest.mark.parametrize(
    "change",
    [
        {"SUPABASE_URL": "http://127.0.0.1:8001"}, {"SUPABASE_URL": "https://x.supabase.co/"},
        {"SUPABASE_SERVICE_ROLE_KEY": legacy("service_role")},
        {"ADMIN_PASSWORD": "a-long-random-one-1234"},
        {"SUPABASE_URL": "http://127.0.0.1:1", "DEMO_EMAIL": "a@example.com"},
    ],
)  # fmt: skip
def test_a_setting_that_is_fine_is_left_alone(change: dict[str, str]) -> None:
    assert findings(**change) == []


@pytest.mark.parametrize(
    ("webs", "concurrency", "memory", "failed"),
    [
        ("2", "100", 1024, []),
        ("2", "100", 512, []),
        ("3", "100", 512, ["WEB_CONCURRENCY"]),
        ("1", "100", 512, []),
        ("1", "500", 512, ["WORKER_CONCURRENCY"]),
    ],
)
def test_the_processes_fit_into_the_memory(
    webs: str, concurrency: str, memory: int, failed: list[str]
) -> None:
    settings = {
        **SETTINGS, "WEB_CONCURRENCY": webs, "WORKER_CONCURRENCY": concurrency,
        "PIXAZO_POLLS_PER_SECOND": "1000",
    }  # fmt: skip

    found = look_at_settings(Config.from_env(settings), memory * MEGABYTE)

    wrong = {one.check: one.level for one in found if one.level is not Level.OK}
    assert wrong == dict.fromkeys(failed, Level.WARNING)


def test_all_settings_that_are_wrong_are_said() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({"SUPABASE_URL": "x", "LOG_LEVEL": "loud"})

    found = list(settings_that_are_wrong(caught.value))

    assert {one.check for one in found} == {
        "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "REDIS_URL", "PIXAZO_API_KEY", "LOG_LEVEL",
    }  # fmt: skip
    assert all(one.level is Level.FAILURE and one.found for one in found)


@pytest.mark.parametrize("key", ["sb_secret_x", legacy("service_role")])
def test_a_secret_key_is_never_the_one_that_everybody_sees(key: str) -> None:
    with pytest.raises(ConfigError, match="SUPABASE_PUBLISHABLE_KEY is a secret key") as caught:
        Config.from_env({**SETTINGS, "SUPABASE_PUBLISHABLE_KEY": key})

    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("sb_secret_x", "secret"), ("sb_publishable_x", "publishable"),
        (legacy("service_role"), "secret"), (legacy("anon"), "publishable"),
        (legacy("authenticated"), "unknown"), ("x", "unknown"), ("a.b.c", "unknown"),
        ("a.W10.c", "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_a_key_is_told_by_its_form(key: str, kind: str) -> None:
    assert kind_of_key(key) == kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_TOKEN", "fifteen-letters"), ("SENTRY_DSN", "https://sentry.io/42"),
        ("SENTRY_DSN", "https://key@sentry.io/"), ("SENTRY_DSN", "key"),
    ],
)  # fmt: skip
def test_what_would_not_work_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.from_env({**SETTINGS, name: value})


@pytest.mark.parametrize("dsn", ["https://key@o1.ingest.sentry.io/42", "http://k:s@host:9000/a/1"])
def test_a_dsn_is_taken(dsn: str) -> None:
    assert Config.from_env({**SETTINGS, "SENTRY_DSN": dsn}).sentry_dsn == dsn


@pytest.mark.parametrize(
    ("url", "public", "project"),
    [
        ("https://x.supabase.co", "", "x.supabase.co"),
        ("https://x.supabase.co", "https://api.shop.example", "x.supabase.co"),
        ("http://kong:8000", "https://api.shop.example", "api.shop.example"),
        ("http://10.0.0.5:8000", "https://api.shop.example", "api.shop.example"),
        ("http://127.0.0.1:8001", "", "127.0.0.1"),
    ],
)
def test_a_project_is_called_by_its_host(url: str, public: str, project: str) -> None:
    settings = {**SETTINGS, "SUPABASE_URL": url, "SUPABASE_PUBLIC_URL": public}

    assert Config.from_env(settings).project == project


def test_what_others_have_named_does_nothing_to_a_terminal() -> None:
    assert printable("\x1b]0;PWNED\x07red\r\nfake \u202e") == "?]0;PWNED?red??fake ?"
    assert printable("Gaun mérah, 10 %") == "Gaun mérah, 10 %"
