"""No key and no password is in what a traceback or a log shows of our objects."""

import dataclasses
from collections.abc import Iterator

from config import Config
from vton.app import create_app
from vton.wiring import connect

SECRETS = {
    "SUPABASE_SERVICE_ROLE_KEY": "the service key",
    "SUPABASE_JWT_SECRET": "the secret that tokens are signed with",
    "SUPABASE_DB_URL": "postgresql://u:the-database-password@h/x",
    "REDIS_URL": "redis://:the-redis-password@localhost/0",
    "PIXAZO_API_KEY": "the provider key",
    "DEMO_PASSWORD": "the demo password",
    "ADMIN_PASSWORD": "the admin password",
    "METRICS_TOKEN": "the token for metrics",
    "SENTRY_DSN": "https://the-sentry-key@sentry.example/1",
}


def objects(one: object, path: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    """An object of ours, and all that it holds."""
    if id(one) in seen:
        return
    seen.add(id(one))
    yield path, one
    if dataclasses.is_dataclass(one):
        held = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    elif type(one).__module__.startswith("vton"):
        held = getattr(one, "__dict__", {})
    else:
        return
    for name, value in held.items():
        if not isinstance(value, str):
            yield from objects(value, f"{path}.{name}", seen)


def test_no_secret_is_in_a_repr() -> None:
    config = Config.from_env(
        {"SUPABASE_URL": "https://x.supabase.co", "DEMO_EMAIL": "a@example.com", **SECRETS}
    )
    services = connect(config)
    demo = create_app(config, services).extensions["demo"]
    words = [*SECRETS.values(), "the-database-password", "the-redis-password", "the-sentry-key"]

    seen: set[int] = set()
    found = [
        (path, word)
        for start, name in ((config, "config"), (services, "services"), (demo, "demo"))
        for path, one in objects(start, name, seen)
        for word in words
        if word in repr(one)
    ]

    assert found == []
    assert len(seen) > 50
