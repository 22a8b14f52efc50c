"""Whether the settings make sense, before anybody is asked. Nothing here says what a secret is."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from config import Config, ConfigError
from vton.adapters.http.download import is_loopback
from vton.imaging.slots import (
    MEGABYTE,
    PROCESS_BYTES,
    SYSTEM_BYTES,
    memory_there_is,
)
from vton.operations.model import Finding, Level

SHORT_SECRET = 16
"""An operator's password or token that is shorter can be guessed, in time."""
LEAST_DECODER_BYTES = 210 * MEGABYTE
"""What the decoder of a phone's photo fills: a WebP of 12 megapixels 206 MB."""
WORKER_BYTES = 100 * MEGABYTE
TRY_ON_BYTES = MEGABYTE
"""A worker fills so much, and so much more for each try-on that it carries."""


def look_at_settings(config: Config, memory: int | None = None) -> Iterator[Finding]:
    """Yield what is to be said of each setting that can be judged by itself.

    `memory` is how many bytes there are for each process, by default what this machine has.
    """
    yield _address("SUPABASE_URL", config.supabase_url)
    if config.supabase_public_url:
        yield _address("SUPABASE_PUBLIC_URL", config.supabase_public_url)
    yield _address("PIXAZO_BASE_URL", config.pixazo_base_url, path_is_wrong=False)
    yield _service_key(config.supabase_service_role_key)
    yield from _browsers(config)
    yield from _limits(config)
    yield from _secrets(config)
    yield from _memory(config, memory or memory_there_is())


def settings_that_are_wrong(wrong: ConfigError) -> Iterator[Finding]:
    """Yield each setting without which nothing else can be looked at."""
    for line in wrong.lines:
        name, _, found = line.partition(" ")
        yield Finding(name.rstrip(":"), Level.FAILURE, found)


def _ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def _warning(check: str, found: str, do: str) -> Finding:
    return Finding(check, Level.WARNING, found, do)


def _failure(check: str, found: str, do: str) -> Finding:
    return Finding(check, Level.FAILURE, found, do)


def _address(name: str, url: str, *, path_is_wrong: bool = True) -> Finding:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if path_is_wrong and (parts.path.strip("/") or parts.query):
        return _failure(name, f"has a path: {parts.path}", f"set it to {parts.scheme}://{host}")
    if parts.scheme == "https" or is_loopback(host):
        return _ok(name, host)
    if "." not in host or _is_private(host):  # inside a network of containers, say
        return _warning(name, f"http to {host}", "the key is sent in clear: only in your network")
    return _failure(name, f"http to {host}: the key is sent in clear", "use https")


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def kind_of_key(key: str) -> str:
    """Return what a key of Supabase is by its form: secret, publishable, or unknown."""
    if key.startswith("sb_secret_"):
        return "secret"
    if key.startswith("sb_publishable_"):
        return "publishable"
    role = _claims(key).get("role")
    return {"service_role": "secret", "anon": "publishable"}.get(str(role), "unknown")


def _claims(token: str) -> dict[str, Any]:
    """Return what a JWT says, unverified; nothing where it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return cast(dict[str, Any], claims) if isinstance(claims, dict) else {}


def _service_key(key: str) -> Finding:
    name = "SUPABASE_SERVICE_ROLE_KEY"
    match kind_of_key(key):
        case "secret":
            return _ok(name, "is a secret key")
        case "publishable":
            return _failure(
                name, "is the publishable key, which may do next to nothing",
                "take the secret key: Project Settings, API Keys",
            )  # fmt: skip
    return _warning(
        name, "is neither sb_secret_… nor a JWT of the role service_role", "copy it once more"
    )


def _browsers(config: Config) -> Iterator[Finding]:
    if config.cors_origins:
        yield _ok("CORS_ORIGINS", ", ".join(config.cors_origins))
    else:
        yield _warning(
            "CORS_ORIGINS", "is not set: only the page at / may call the API from a browser",
            "set it to the addresses of your frontends",
        )  # fmt: skip
    local = is_loopback(urlsplit(config.supabase_url).hostname or "")
    if config.demo_email and not local:
        yield _warning(
            "DEMO_EMAIL", "everybody who opens the page may sign in, and try on at your cost",
            "leave it empty in production",
        )  # fmt: skip


def _limits(config: Config) -> Iterator[Finding]:
    if config.max_paid_per_day:
        yield _ok("MAX_PAID_PER_DAY", f"{config.max_paid_per_day} paid calls a day at most")
    else:
        yield _warning("MAX_PAID_PER_DAY", "is 0: no cap on the bill", "set what a day may cost")
    if not config.retention_days:
        yield _warning("RETENTION_DAYS", "is 0: photos are kept for ever", "say for how many days")
    if config.session_deadline < 120:
        yield _warning(
            "SESSION_DEADLINE", f"{config.session_deadline:g} s is less than a busy provider takes",
            "600 is the default",
        )  # fmt: skip
    asked = config.worker_concurrency / config.pixazo_poll_interval
    if asked > config.pixazo_polls_per_second:
        yield _warning(
            "PIXAZO_POLLS_PER_SECOND",
            f"{config.worker_concurrency} try-ons would ask {asked:.0f} times a second: results"
            " are seen late", "raise it, or lower WORKER_CONCURRENCY",
        )  # fmt: skip


def _secrets(config: Config) -> Iterator[Finding]:
    length = len(config.admin_password)
    if 0 < length < SHORT_SECRET:
        yield _warning("ADMIN_PASSWORD", f"has {length} characters", "openssl rand -base64 24")


def _memory(config: Config, memory: int) -> Iterator[Finding]:
    """Say whether the processes fit; a warning, since the doctor may run on another machine."""
    has = f"of {memory // MEGABYTE} MB here"
    web = SYSTEM_BYTES + config.web_concurrency * PROCESS_BYTES + LEAST_DECODER_BYTES
    found = f"{config.web_concurrency} web processes and a decoder fill {web // MEGABYTE} MB {has}"
    if web > memory:
        yield _warning("WEB_CONCURRENCY", found, "fewer processes, or a larger dyno")
    else:
        yield _ok("WEB_CONCURRENCY", found)
    worker = WORKER_BYTES + config.worker_concurrency * TRY_ON_BYTES
    found = f"{config.worker_concurrency} try-ons at once fill {worker // MEGABYTE} MB {has}"
    if worker > memory:
        yield _warning("WORKER_CONCURRENCY", found, "fewer at once and more workers")
    else:
        yield _ok("WORKER_CONCURRENCY", found)
