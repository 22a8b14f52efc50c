"""Every setting, read once from the environment (and `.env`) into one frozen object.

`.env.example` says in a sentence what each is for.
"""

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError


class ConfigError(SystemExit):
    """A setting is missing or makes no sense; ends the process with one line that names it.

    `lines` has one for each setting that is wrong.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(lines[0])
        self.lines = lines


def _url(*schemes: str) -> BeforeValidator:
    """Take a URL of one of these schemes, without the slash at its end."""

    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise _wrong(f"must be a URL that begins with {schemes[0]}:// and a host")
        return text.rstrip("/")

    return BeforeValidator(check)


def _items(value: object) -> object:
    """Take apart what is separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _origins(value: object) -> object:
    origins = _items(value)
    assert isinstance(origins, tuple)
    for origin in origins:
        scheme, _, host = origin.rstrip("/").partition("://")
        everybodys = "*" in host and not re.fullmatch(r"(\*\.)?[^*.]+(\.[^*.]+)+|[^*]+:\*", host)
        if scheme not in ("http", "https") or not host or everybodys or re.search("[/@]", host):
            raise _wrong("must list origins such as https://shop.example or https://*.lovable.app")
    return origins


def _wrong(why: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{why}", {"why": why})


def _public_key(text: str) -> str:
    """Refuse a secret key: the page at / shows this one to everybody."""
    payload, claims = text.split(".")[1] if text.count(".") == 2 else "", b""
    with suppress(ValueError):
        claims = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    if text.startswith("sb_secret_") or b"service_role" in claims:
        raise _wrong("is a secret key, and everybody sees it: take the publishable one")
    return text


def _long(text: str) -> str:
    """Refuse a token that could be guessed: tries are not limited."""
    if len(text) < 16:
        raise _wrong("has to have 16 characters at least: openssl rand -base64 24")
    return text


def _dsn(text: str) -> str:
    """Refuse what Sentry's library would end the process for."""
    if not re.fullmatch(r"https?://[^@/\s]+@[^@/\s]+/([^\s]*/)?\d+", text):
        raise _wrong("must be a DSN: https://key@host/number")
    return text


def _database_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise _wrong("must be a URL that begins with postgresql://")
    return text


WebUrl = Annotated[str, _url("http", "https")]
RedisUrl = Annotated[str, _url("redis", "rediss")]
Secret = Annotated[str, Field(repr=False)]
Items = Annotated[tuple[str, ...], BeforeValidator(_items)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
Seconds = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]
"""A whole number; 0 switches it off."""


class Config(BaseModel):
    """The settings of one process. Each is called so, in capitals, in the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    supabase_url: WebUrl
    supabase_public_url: WebUrl = ""
    supabase_db_url: Annotated[Secret, AfterValidator(_database_url)] = ""
    supabase_jwt_issuer: str = ""
    supabase_service_role_key: Secret
    supabase_jwt_secret: Secret = ""
    supabase_publishable_key: Annotated[str, AfterValidator(_public_key)] = ""
    storage_bucket: str = "vton-assets"
    redis_url: Annotated[RedisUrl, Field(repr=False)]
    redis_ssl_cert_reqs: Literal["required", "none"] = "required"
    pixazo_api_key: Secret
    pixazo_base_url: WebUrl = "https://gateway.pixazo.ai"
    pixazo_submit_path: str = "/kling-ai-vton/v1/getVirtualTryOnTask"
    pixazo_status_path: str = "/v2/requests/status/{request_id}"
    pixazo_person_field: str = "human_image"
    pixazo_garment_field: str = ""
    pixazo_image_mode: Literal["auto", "url", "base64"] = "auto"
    pixazo_first_poll: Seconds = 5.0
    pixazo_poll_interval: Seconds = 3.0
    pixazo_polls_per_second: Rate = 50.0
    pixazo_allowed_hosts: Items = ("gateway.pixazo.ai", "gateway.appypie.com")
    result_allowed_hosts: Items = ()
    cors_origins: Origins = ()
    trusted_hosts: Items = ()
    session_deadline: Seconds = 600.0
    retention_days: Limit = 30
    max_unfinished_per_user: Limit = 5
    max_per_day_per_user: Limit = 50
    max_waiting: Limit = 1000
    max_paid_per_day: Limit = 1000
    rate_limit: Limit = 60
    worker_concurrency: Annotated[Limit, Field(ge=1)] = 100
    web_concurrency: Annotated[Limit, Field(ge=1)] = 1
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    sentry_dsn: Annotated[Secret, AfterValidator(_dsn)] = ""
    metrics_token: Annotated[Secret, AfterValidator(_long)] = ""
    demo_email: str = ""
    demo_password: Secret = ""
    admin_user: str = "admin"
    admin_password: Secret = ""

    @property
    def public_url(self) -> str:
        """Where browsers and the provider reach Supabase: signed links begin with it."""
        return self.supabase_public_url or self.supabase_url

    @property
    def project(self) -> str:
        """What the project is called where one has to be told from another: its host.

        One inside a network (kong, 127.0.0.1) is called as it is outside.
        """
        host = urlsplit(self.supabase_url).hostname or ""
        if re.search("[a-z]", host) and "." in host:
            return host
        return urlsplit(self.public_url).hostname or ""

    @property
    def jwt_issuers(self) -> tuple[str, ...]:
        """What access tokens may name as their issuer (`iss`)."""
        if self.supabase_jwt_issuer:
            return (self.supabase_jwt_issuer,)
        return tuple({f"{url}/auth/v1": None for url in (self.supabase_url, self.public_url)})

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`, or from the process and its `.env` file.

        An empty variable counts as not set. Raises ConfigError, which names the setting, when
        one is missing or malformed.
        """
        if environ is None:
            load_dotenv()
            environ = os.environ
        given: dict[str, Any] = {}
        for name in cls.model_fields:
            if value := environ.get(name.upper(), "").strip():
                given[name] = value
        try:
            return cls(**given)
        except ValidationError as error:
            raise ConfigError([_line(one) for one in error.errors()]) from None


def _line(error: ErrorDetails) -> str:
    """What is wrong with one setting, without its value, which may be a secret."""
    name = str(error["loc"][0]).upper()
    if error["type"] == "missing":
        return f"{name} is not set; .env.example says what it is for."
    if error["type"] == "setting":
        return f"{name} {error['msg']}."
    return f"{name}: {error['msg']}."
