"""Every setting, read once from the environment (and `.env`) into one frozen dataclass.

`.env.example` says in a sentence what each is for.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from dotenv import load_dotenv


class ConfigError(SystemExit):
    """A setting is missing or makes no sense; ends the process with one line that names it."""


@dataclass(frozen=True)
class Config:
    """The settings of one process. Times are in seconds."""

    supabase_url: str
    supabase_service_role_key: str = field(repr=False)
    redis_url: str = field(repr=False)
    pixazo_api_key: str = field(repr=False)
    supabase_jwt_secret: str = field(default="", repr=False)
    supabase_publishable_key: str = ""
    storage_bucket: str = "vton-assets"
    redis_ssl_cert_reqs: str = "required"
    pixazo_base_url: str = "https://gateway.pixazo.ai"
    pixazo_submit_path: str = "/kling-ai-vton/v1/getVirtualTryOnTask"
    pixazo_status_path: str = "/v2/requests/status/{request_id}"
    pixazo_person_field: str = "human_image"
    pixazo_garment_field: str = "cloth_image"
    pixazo_image_mode: str = "auto"
    pixazo_first_poll: float = 5.0
    pixazo_poll_interval: float = 3.0
    pixazo_polls_per_second: float = 50.0
    pixazo_allowed_hosts: tuple[str, ...] = ("gateway.pixazo.ai", "gateway.appypie.com")
    result_allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    session_deadline: float = 600.0
    retention_days: int = 30
    max_unfinished_per_user: int = 5
    max_per_day_per_user: int = 50
    max_waiting: int = 1000
    max_paid_per_day: int = 1000
    rate_limit: int = 60
    worker_concurrency: int = 100
    log_level: str = "INFO"
    demo_email: str = ""
    demo_password: str = field(default="", repr=False)
    admin_user: str = "admin"
    admin_password: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`, or from the process and its `.env` file.

        Raises ConfigError, which names the setting, when one is missing or malformed.
        """
        if environ is None:
            load_dotenv()
            environ = os.environ
        read = _Reader(environ)
        return cls(
            supabase_url=read.url("SUPABASE_URL"),
            supabase_service_role_key=read.required("SUPABASE_SERVICE_ROLE_KEY"),
            supabase_jwt_secret=read.text("SUPABASE_JWT_SECRET", cls.supabase_jwt_secret),
            supabase_publishable_key=read.text("SUPABASE_PUBLISHABLE_KEY", ""),
            storage_bucket=read.text("STORAGE_BUCKET", cls.storage_bucket),
            redis_url=read.url("REDIS_URL", schemes=("redis", "rediss")),
            redis_ssl_cert_reqs=read.choice(
                "REDIS_SSL_CERT_REQS", cls.redis_ssl_cert_reqs, ("required", "none")
            ),
            pixazo_api_key=read.required("PIXAZO_API_KEY"),
            pixazo_base_url=read.url("PIXAZO_BASE_URL", cls.pixazo_base_url),
            pixazo_submit_path=read.text("PIXAZO_SUBMIT_PATH", cls.pixazo_submit_path),
            pixazo_status_path=read.text("PIXAZO_STATUS_PATH", cls.pixazo_status_path),
            pixazo_person_field=read.text("PIXAZO_PERSON_FIELD", cls.pixazo_person_field),
            pixazo_garment_field=read.text("PIXAZO_GARMENT_FIELD", cls.pixazo_garment_field),
            pixazo_image_mode=read.choice(
                "PIXAZO_IMAGE_MODE", cls.pixazo_image_mode, ("auto", "url", "base64")
            ),
            pixazo_first_poll=read.positive("PIXAZO_FIRST_POLL", cls.pixazo_first_poll),
            pixazo_poll_interval=read.positive("PIXAZO_POLL_INTERVAL", cls.pixazo_poll_interval),
            pixazo_polls_per_second=read.positive(
                "PIXAZO_POLLS_PER_SECOND", cls.pixazo_polls_per_second
            ),
            pixazo_allowed_hosts=read.items("PIXAZO_ALLOWED_HOSTS", cls.pixazo_allowed_hosts),
            result_allowed_hosts=read.items("RESULT_ALLOWED_HOSTS", cls.result_allowed_hosts),
            cors_origins=read.origins("CORS_ORIGINS"),
            session_deadline=read.positive("SESSION_DEADLINE", cls.session_deadline),
            retention_days=read.whole("RETENTION_DAYS", cls.retention_days),
            max_unfinished_per_user=read.whole(
                "MAX_UNFINISHED_PER_USER", cls.max_unfinished_per_user
            ),
            max_per_day_per_user=read.whole("MAX_PER_DAY_PER_USER", cls.max_per_day_per_user),
            max_waiting=read.whole("MAX_WAITING", cls.max_waiting),
            rate_limit=read.whole("RATE_LIMIT", cls.rate_limit),
            max_paid_per_day=read.whole("MAX_PAID_PER_DAY", cls.max_paid_per_day),
            worker_concurrency=read.whole("WORKER_CONCURRENCY", cls.worker_concurrency, minimum=1),
            log_level=read.choice(
                "LOG_LEVEL", cls.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")
            ),
            demo_email=read.text("DEMO_EMAIL", cls.demo_email),
            demo_password=read.text("DEMO_PASSWORD", cls.demo_password),
            admin_user=read.text("ADMIN_USER", cls.admin_user),
            admin_password=read.text("ADMIN_PASSWORD", cls.admin_password),
        )


class _Reader:
    """Reads one environment; an empty variable counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def required(self, name: str) -> str:
        value = self.text(name, "")
        if not value:
            raise ConfigError(f"{name} is not set; .env.example says what it is for.")
        return value

    def url(
        self, name: str, default: str = "", schemes: tuple[str, ...] = ("http", "https")
    ) -> str:
        value = self.text(name, default) if default else self.required(name)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(f"{name} must be a URL that begins with {schemes[0]}:// and a host.")
        return value.rstrip("/")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value

    def items(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        text = self._environ.get(name, "")
        return tuple(item.strip() for item in text.split(",") if item.strip()) or default

    def origins(self, name: str) -> tuple[str, ...]:
        origins = self.items(name, ())
        for origin in origins:
            scheme, _, host = origin.rstrip("/").partition("://")
            if scheme not in ("http", "https") or not host.strip("*.") or "/" in host:
                raise ConfigError(
                    f"{name} must list origins such as https://shop.example or"
                    f" https://*.lovable.app, not {origin!r}."
                )
        return origins

    def positive(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value < 1e6:
            raise ConfigError(f"{name} must be a positive number, not {text!r}.")
        return value

    def whole(self, name: str, default: int, minimum: int = 0) -> int:
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= 1_000_000:
            raise ConfigError(f"{name} must be a whole number from {minimum}, not {text!r}.")
        return int(text)
