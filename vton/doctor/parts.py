"""Whether the parts that the settings name are there, are ours, and take our keys."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from config import Config
from vton.adapters.http.client import HttpClient
from vton.adapters.redis.connection import (
    NotThePrimary,
    WrongRedis,
    check_redis,
    connect_redis,
)
from vton.adapters.supabase.clock import SKEW_SECONDS
from vton.adapters.supabase.keys import fetch_from, read_keys
from vton.errors import Problem, Unavailable
from vton.operations.model import Finding, Level, QueueOverview
from vton.operations.verdict import verdict
from vton.tryon.ports.provider import RetryableError
from vton.wiring import Services

SIGN_IN_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
PAUSED_STATUS = 540
"""What a paused project answers: https://supabase.com/docs/guides/troubleshooting/http-status-codes"""
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
_WRONG_PASSWORD = ("NOAUTH", "WRONGPASS", "Authentication required", "invalid username-password")
_NO_HOST = ("Name or service not known", "getaddrinfo", "resolution", "nodename nor servname")


def look_at_parts(config: Config, services: Services) -> Iterator[Finding]:
    """Yield what is found of each part; each is asked, whatever came of the others."""
    yield from look_at_keys(config, services)
    yield from _guarded("schema", lambda: _schema(services))
    yield from _guarded("row level security", lambda: _in_force(services))
    yield from _guarded("bucket", lambda: _bucket(config, services))
    yield from _guarded("clocks", lambda: _clocks(config, services))
    yield from _guarded("queue", lambda: _queue(services))


def look_at_keys(config: Config, services: Services) -> Iterator[Finding]:
    """Yield whether Redis, Supabase and the provider take what we show them."""
    yield from _guarded("REDIS_URL", lambda: _redis(config))
    yield from _guarded("SUPABASE_URL", lambda: _supabase(config, services))
    yield from _guarded("sign-in", lambda: _tokens(config, services))
    yield from _guarded("PIXAZO_API_KEY", lambda: _provider(services))


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a look finds; that a part is away is a finding, too."""
    try:
        yield from look()
    except Unavailable as away:
        yield Finding(check, Level.FAILURE, away.why, "see the line about that part")
    except Exception as fault:  # whatever it is, the other checks are made
        yield Finding(check, Level.FAILURE, f"could not be looked at: {type(fault).__name__}")


# -- Redis -----------------------------------------------------------------------------------


def _redis(config: Config) -> Iterator[Finding]:
    name = "REDIS_URL"
    try:
        with connect_redis(config.redis_url, 1, config.redis_ssl_cert_reqs) as redis:
            check_redis(redis, config.project, claim=False)
    except WrongRedis as wrong:
        yield Finding(name, Level.FAILURE, str(wrong))
    except RedisError as error:
        yield Finding(name, Level.FAILURE, *_why_not(error, config))
    else:
        yield Finding(name, Level.OK, f"answers, and is the one of {config.project}")


def _why_not(error: RedisError, config: Config) -> tuple[str, str]:
    """Return what is wrong with the connection, and what to do. No URL, no password."""
    text = f"{error} {error.__cause__ or ''}"
    if isinstance(error, _REFUSED) or any(word in text for word in _WRONG_PASSWORD):
        return "user and password are not its own", "redis://:password@host; copy the URL once more"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate cannot be verified", "on Heroku: REDIS_SSL_CERT_REQS=none"
    if isinstance(error, NotThePrimary):
        return "it is a replica, or just fails over", "the URL of the primary; or wait a minute"
    if isinstance(error, ResponseError):
        return f"it refuses: {str(error)[:80]}", "is it full, or a replica?"
    secure = config.redis_url.startswith("rediss://")
    parts = urlsplit(config.redis_url)
    # Without the password, which is nobody's who is not known to be the right one.
    bare = f"{'redis' if secure else 'rediss'}://{parts.hostname}:{parts.port or 6379}"
    if _is_redis(bare):
        if secure:
            return "it does not speak TLS on this port", "another port; redis:// sends all in clear"
        return "it speaks TLS on this port", "rediss:// in place of redis://"
    if any(word in text for word in _NO_HOST):
        return "its host is not known", "copy the URL once more"
    return f"cannot be reached ({type(error).__name__})", "is it running, and may we reach it?"


def _is_redis(url: str) -> bool:
    """Whether something answers there as Redis does, if only that it wants a password."""
    try:
        with connect_redis(url, 1, "none") as redis:
            return bool(redis.ping())
    except (*_REFUSED, ResponseError):
        return True
    except RedisError:
        return False


def _queue(services: Services) -> Iterator[Finding]:
    seen = services.queue.overview()
    yield from _of_redis(seen)
    if seen.workers:
        yield Finding("worker", Level.OK, f"{len(seen.workers)} live")
    else:  # in the release phase of the first deployment there can be none
        yield Finding("worker", Level.WARNING, "no worker lives", "scale `worker` to 1 at least")


def _of_redis(seen: QueueOverview) -> Iterator[Finding]:
    if seen.policy == "noeviction":
        yield Finding("maxmemory-policy", Level.OK, "noeviction")
    elif seen.policy:
        yield Finding(
            "maxmemory-policy", Level.FAILURE, f"{seen.policy}: a full Redis drops jobs",
            "set it to noeviction (Heroku: heroku redis:maxmemory --policy noeviction)",
        )  # fmt: skip
    else:
        yield Finding("maxmemory-policy", Level.WARNING, "is not told", "make sure: noeviction")


# -- Supabase --------------------------------------------------------------------------------


def _why_away(found: str, config: Config) -> tuple[str, str]:
    """Return why Supabase does not answer as it should, and what to do."""
    if "refuses" in found:
        return found, "compare URL and key with the dashboard: API Keys"
    try:
        status = HttpClient(1).ask(
            "GET", f"{config.supabase_url}/auth/v1/health", headers={}, connect=SIGN_IN_SECONDS,
            seconds=SIGN_IN_SECONDS, limit=MAX_ANSWER_BYTES,
        ).status  # fmt: skip
    except requests.RequestException:
        return found, "is it the project's URL, and may we reach it?"
    if status == PAUSED_STATUS:
        return "the project is paused", "restore it in the dashboard"
    return f"{found}; it answers {status}", "an outage: https://status.supabase.com"


def _supabase(config: Config, services: Services) -> Iterator[Finding]:
    broken = services.health.ready.broken().get("database")
    if broken and "schema" not in broken[0] and "migrated" not in broken[0]:
        yield Finding("SUPABASE_URL", Level.FAILURE, *_why_away(broken[0], config))
    else:
        yield Finding("SUPABASE_URL", Level.OK, "answers, and takes the service key")


def _schema(services: Services) -> Iterator[Finding]:
    if broken := services.health.ready.broken().get("database"):
        about_it = "schema" in broken[0] or "migrated" in broken[0]
        do = "flask --app wsgi migrate, or migrate --again" if about_it else "see SUPABASE_URL"
        yield Finding("schema", Level.FAILURE, broken[0], do)
    else:
        yield Finding("schema", Level.OK, "is this release's")


def _in_force(services: Services) -> Iterator[Finding]:
    faults = services.records.faults()
    for fault in faults:
        yield Finding(
            "row level security", Level.FAILURE, fault, "flask --app wsgi migrate --again"
        )
    if not faults:
        yield Finding("row level security", Level.OK, "policies, grants and triggers are in force")


def _bucket(config: Config, services: Services) -> Iterator[Finding]:
    services.pictures.check()
    yield Finding("bucket", Level.OK, f"{config.storage_bucket} is there")


def _clocks(config: Config, services: Services) -> Iterator[Finding]:
    skews = {"database": services.clock.measure()}
    with connect_redis(config.redis_url, 1, config.redis_ssl_cert_reqs) as redis:
        seconds, micro = redis.time()
        skews["Redis"] = datetime.now(UTC).timestamp() - (seconds + micro / 1e6)
    for other, skew in skews.items():
        found = f"ours is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} that of {other}"
        wrong = abs(skew) > SKEW_SECONDS
        level = Level.WARNING if wrong else Level.OK
        yield Finding("clocks", level, found, "set the machine's clock (NTP)")


def _tokens(config: Config, services: Services) -> Iterator[Finding]:
    name = "sign-in"
    try:
        keys = read_keys(fetch_from(f"{config.supabase_url}/auth/v1/.well-known/jwks.json")())
    except (requests.RequestException, ValueError) as fault:
        yield Finding(name, Level.FAILURE, f"no key set ({type(fault).__name__})", "SUPABASE_URL")
        return
    secret = config.supabase_jwt_secret
    if not keys and not secret:
        yield Finding(
            name, Level.FAILURE, "the project publishes no keys: it signs with a secret",
            "set SUPABASE_JWT_SECRET: Project Settings, JWT Keys, Legacy JWT Secret",
        )  # fmt: skip
        return
    if secret and (fits := _secret_fits(config)) is False:
        yield Finding(
            name, Level.FAILURE, "SUPABASE_JWT_SECRET is not this project's",
            "copy it once more, or leave it empty where keys are published",
        )  # fmt: skip
        return
    elif secret:
        how = "fits" if fits else "cannot be tried without a legacy key"
        yield Finding(name, Level.OK, f"{len(keys)} published keys; SUPABASE_JWT_SECRET {how}")
    else:
        yield Finding(name, Level.OK, f"{len(keys)} published keys")
    if config.demo_email and config.supabase_publishable_key:
        yield _sample_sign_in(config, services)


def _secret_fits(config: Config) -> bool | None:
    """Whether the secret has signed one of the project's legacy keys; None without such a key."""
    for key in (config.supabase_service_role_key, config.supabase_publishable_key):
        if key.startswith("eyJ"):
            try:
                jwt.decode(key, config.supabase_jwt_secret, algorithms=["HS256"],
                           options={"verify_exp": False, "verify_aud": False})  # fmt: skip
            except jwt.PyJWTError:
                return False
            return True
    return None


def _sample_sign_in(config: Config, services: Services) -> Finding:
    """Sign in as the sample user, and verify the token that comes."""
    answer = HttpClient(1).ask(
        "POST", f"{config.supabase_url}/auth/v1/token?grant_type=password",
        headers={"apikey": config.supabase_publishable_key},
        body={"email": config.demo_email, "password": config.demo_password},
        connect=SIGN_IN_SECONDS, seconds=SIGN_IN_SECONDS, limit=MAX_ANSWER_BYTES,
    )  # fmt: skip
    token: Any = answer.json().get("access_token")
    if not isinstance(token, str):
        return Finding("sign-in", Level.WARNING, f"DEMO_EMAIL cannot sign in ({answer.status})")
    try:
        services.tokens.verify(token)
    except Problem as problem:
        do = "compare SUPABASE_JWT_SECRET and SUPABASE_JWT_ISSUER with the project"
        return Finding(
            "sign-in", Level.FAILURE, f"a token of the project is refused: {problem}", do
        )
    return Finding("sign-in", Level.OK, "a token of the sample user is taken")


# -- the provider ----------------------------------------------------------------------------


def _provider(services: Services) -> Iterator[Finding]:
    name = "PIXAZO_API_KEY"
    try:
        refused = services.provider.refuses_key()
    except RetryableError as fault:
        yield Finding(name, Level.WARNING, f"could not be tried: {fault}", "once more, later")
        return
    if refused:
        yield Finding(name, Level.FAILURE, "the provider refuses it", "copy it once more")
    else:
        yield Finding(name, Level.OK, "is taken; nothing was paid")


def look_at_figures(services: Services) -> Iterator[Finding]:
    """Yield what of the last hour somebody should do something about."""
    for one in verdict(services.watch.overview()):
        if one.level is not Level.OK and one.check in (
            "queue",
            "money",
            "outcomes",
            "pause",
            "provider",
        ):
            yield Finding(one.check, Level.WARNING, one.found, one.do)
