"""Promises about the code itself."""

import ast
import inspect
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
from actors import ROOT
from flask import Flask

from config import Config, ConfigError
from devstack.stack import procfile
from vton.app import create_app
from vton.errors import CATALOGUE
from vton.version import VERSION

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
    ("GET", "/health/service"),
    ("GET", "/static/<path:filename>"),
    ("GET", "/static/<any('vton-client.js', 'vton-client.d.ts'):filename>"),
}


@pytest.fixture(scope="module")
def app() -> Flask:
    """The application; nothing it is connected to is there."""
    return create_app(Config.from_env(REQUIRED))


def test_every_route_says_who_may_call_it(app: Flask) -> None:
    access: dict[str, set[tuple[str, str]]] = {"user": set(), "public": set()}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        who = getattr(view, "access", None)
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


def test_the_procfile_migrates_and_starts_the_two_processes() -> None:
    assert procfile() == {
        "release": "flask --app wsgi migrate && flask --app wsgi doctor",
        "web": "gunicorn wsgi:app -c gunicorn.conf.py",
        "worker": "python worker.py",
    }


def requirements(name: str) -> list[str]:
    """The lines of one of our lists."""
    lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"[A-Za-z0-9]", line)]


def pins(name: str) -> set[str]:
    """What a list pins, as pip normalises its name: `psycopg==3.3.9`."""
    found = (re.split(r"[ ;]", line)[0] for line in requirements(name))
    return {re.sub(r"\[.*\]", "", pin).lower().replace("_", "-") for pin in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_everything_that_is_installed_is_pinned_with_its_hashes(name: str) -> None:
    assert pins(f"{name}.in") <= pins(f"{name}.txt"), "run `make lock`"
    for line in requirements(f"{name}.txt"):
        assert re.match(r"\S+==\S+ .*--hash=sha256:", line), line


def test_what_is_tested_is_what_is_deployed() -> None:
    assert pins("requirements.txt") <= pins("requirements-dev.txt"), "run `make lock`"


def test_nothing_is_connected_at_import(app: Flask) -> None:
    response = app.test_client().get("/health/live")

    assert response.get_json() == {"success": True, "data": {"status": "ok"}}


def test_redis_and_supabase_away_is_a_503_with_the_envelope(app: Flask) -> None:
    response = app.test_client().get("/health/ready")

    assert response.status_code == 503
    assert response.get_json()["code"] == "unavailable"
    assert response.headers["Retry-After"] == "5"


# -- the house -------------------------------------------------------------------------------

OUR_TEXT = ("*.py", "*.md", "*.sql", "*.js", "*.mjs", "*.toml", "Makefile", ".env.example")
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
A_REASON = "more than 300 lines"
OLD_WORDS = re.compile(
    r"\b(Look|Kept|Books|Ticket|TicketAnswer|Statuses|BoundedHttp|Pace|OutOfMoney|OtherField"
    r"|ticket|take_ticket|settle_submit|forgive\w*|doubt_open|insist|glance|keep_on|make_pass"
    r"|epoch(?! from)"
    r"|_may_have_key|_not_taken|misses_limited|provider_task_id|submit_attempt|books?)\b"
)
A_LIBRARY = "tests/devstack/"
"""Where books are what a library lends: the tables that the gateway is tested with."""


def tracked(*patterns: str) -> list[Path]:
    """The project's own files of these names."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_one_vocabulary_is_used_throughout() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked(*OUR_TEXT)
        if path != Path(__file__) and A_LIBRARY not in str(path)
        for match in OLD_WORDS.finditer(path.read_text())
    ]

    assert found == []


def test_no_file_of_the_product_is_long_without_a_reason() -> None:
    long = [
        str(path.relative_to(ROOT))
        for path in tracked("vton/*.py", "vton/*.js", "vton/*.css", "*.sql", "config.py")
        if len((text := path.read_text()).splitlines()) > LONGEST_FILE and A_REASON not in text
    ]

    assert long == []


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_of_the_product_is_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in tracked("vton/*.py", "config.py", "worker.py", "wsgi.py")
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION
    ]

    assert long == []


def test_the_map_lists_every_room_and_nothing_else() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    map_of_rooms = text.split("```")[1]
    rooms = {
        f"{path.parent.relative_to(ROOT)}/"
        for path in tracked("vton/*.py", "devstack/*.py", "tests/*.py")
    }
    modules = {path.stem for path in tracked("vton/*.py") if "__" not in path.stem}

    unnamed = [room for room in rooms if f"{Path(room).name}/" not in map_of_rooms]
    assert unnamed == []
    assert [m for m in modules if not re.search(rf"\b{m}\b", map_of_rooms)] == []
    named = set(re.findall(r"\b[a-z_]+\.(?:py|sql)\b", map_of_rooms))
    there = {path.name for path in tracked("*.py", "*.sql")}
    assert named - there == set()


PORTS = {
    "database": {
        "Sessions": fakes.FakeDatabase,
        "SubmitLedger": fakes.FakeDatabase,
        "Erasures": fakes.FakeDatabase,
    },
    "storage": {"Pictures": fakes.FakePictures},
    "photos": {
        "PhotoNormaliser": fakes.FakePhotos,
        "ResultComparer": fakes.FakePhotos,
        "Thumbnails": fakes.FakePhotos,
    },
    "queue": {
        "Jobs": fakes.FakeJobs,
        "StatusCache": fakes.FakeStatusCache,
        "CircuitBreaker": fakes.FakeCircuitBreaker,
    },
    "pauses": {"Pauses": fakes.FakePauses},
    "provider": {"Provider": fakes.FakeProvider},
    "clock": {"Clock": fakes.FakeClock, "Shutdown": fakes.FakeClock},
}


def protocols() -> Iterator[tuple[str, Any]]:
    """Every port of a try-on, and the module that it is in."""
    for path in sorted((ROOT / "vton" / "tryon" / "ports").glob("[a-z]*.py")):
        module = __import__(f"vton.tryon.ports.{path.stem}", fromlist=["x"])
        for _, port in inspect.getmembers(module, inspect.isclass):
            if getattr(port, "_is_protocol", False) and port.__module__ == module.__name__:
                yield path.stem, port


def test_every_port_has_a_fake_with_its_methods() -> None:
    for module, port in protocols():
        fake = PORTS[module][port.__name__]
        for name, method in inspect.getmembers(port, inspect.isfunction):
            if name.startswith("_"):
                continue
            wanted = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(fake, name)).parameters) == wanted, (port, name)


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    client = json.loads((ROOT / "clients" / "js" / "package.json").read_text())["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)

    assert newest
    assert {VERSION, client, newest[1]} == {project}
