"""Promises about the code itself."""

import pytest
from actors import ROOT
from flask import Flask

from config import Config, ConfigError
from devstack.stack import procfile
from vton.app import create_app
from vton.errors import CATALOGUE

REQUIRED = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
}
USERS = {
    ("POST", "/api/try-on"),
    ("GET", "/api/try-on/<uuid:session_id>/status"),
    ("GET", "/api/try-on/history"),
    ("DELETE", "/api/try-on/<uuid:session_id>"),
}
PUBLIC = {
    ("GET", "/api/garments"),
    ("GET", "/"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/<path:filename>"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/static/<path:filename>"),
}


@pytest.fixture(scope="module")
def app() -> Flask:
    """The application; nothing it is connected to is there."""
    return create_app(Config.from_env(REQUIRED))


def test_every_route_says_who_may_call_it(app: Flask) -> None:
    access: dict[str, set[tuple[str, str]]] = {"user": set(), "public": set()}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        who = "public" if rule.endpoint == "static" else getattr(view, "access", None)
        assert who in access, f"{rule} does not say who may call it"
        access[who] |= {(m, rule.rule) for m in (rule.methods or set()) - {"HEAD", "OPTIONS"}}

    assert access == {"user": USERS, "public": PUBLIC}


@pytest.mark.parametrize(("method", "path"), sorted(USERS))
def test_no_user_route_answers_without_a_token(app: Flask, method: str, path: str) -> None:
    path = path.replace("<uuid:session_id>", "8a6e0804-2bd0-4672-b79d-d97027f9071a")

    response = app.test_client().open(path, method=method)

    assert response.status_code == 401


def test_every_setting_is_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()

    for field in Config.model_fields:
        name = field.upper()
        at = [n for n, line in enumerate(lines) if line.startswith(f"{name}=")]
        assert at, f"{name} is not in .env.example"
        assert "#" in "".join(lines[at[0] - 6 : at[0]]), f"{name} has no sentence"


def test_the_defaults_in_the_example_are_the_defaults() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )

    from_example = Config.from_env({**example, **REQUIRED})

    assert from_example == Config.from_env(REQUIRED)


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text()

    missing = [code for code in CATALOGUE if f"`{code}`" not in text]
    assert missing == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.from_env({**REQUIRED, name: " "})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "example.supabase.co"),
        ("SUPABASE_URL", "http://"),
        ("PIXAZO_BASE_URL", "http://["),
        ("REDIS_URL", "localhost:6379"),
        ("SESSION_DEADLINE", "soon"),
        ("SESSION_DEADLINE", "nan"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "1.5"),
        ("PIXAZO_IMAGE_MODE", "ftp"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.from_env({**REQUIRED, name: value})


def test_keys_do_not_show_in_the_configurations_text() -> None:
    config = Config.from_env(
        {**REQUIRED, "SUPABASE_JWT_SECRET": "hush", "ADMIN_PASSWORD": "sesame"}
    )

    assert "sb_secret_x" not in repr(config)
    assert "hush" not in repr(config)
    assert "sesame" not in repr(config)


def test_the_procfile_starts_the_two_processes() -> None:
    assert procfile() == {
        "web": "gunicorn wsgi:app -c gunicorn.conf.py",
        "worker": "python worker.py",
    }


def test_nothing_is_connected_at_import(app: Flask) -> None:
    response = app.test_client().get("/health/live")

    assert response.get_json() == {"success": True, "data": {"status": "ok"}}


def test_redis_and_supabase_away_is_a_503_with_the_envelope(app: Flask) -> None:
    response = app.test_client().get("/health/ready")

    assert response.status_code == 503
    assert response.get_json()["code"] == "unavailable"
    assert response.headers["Retry-After"] == "5"
