"""The service on one screen."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from flask import Flask
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Config, ConfigError
from vton import cli, log
from vton.adapters.redis.queue import QUEUE
from vton.cli.output import Checks, Tools
from vton.demo import assets
from vton.demo.routes import Demo
from vton.demo.routes import bp as demo_bp
from vton.doctor import look_at_everything
from vton.doctor.parts import look_at_keys
from vton.doctor.settings import settings_that_are_wrong
from vton.doctor.try_on import make_try_on
from vton.garments.routes import bp as garments_bp
from vton.imaging.opening import MAX_BYTES
from vton.operations import routes as operations
from vton.operations.exposition import exposition
from vton.operations.routes import Pages
from vton.tryon import status_middleware
from vton.tryon.routes import bp as tryon_bp
from vton.web import access_log, dashboard, envelope, headers, health, openapi, uploads
from vton.web.limits import RequestRate
from vton.web.operators import Operators
from vton.wiring import Services, connect

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EXPOSED_HEADERS = (
    "Location", "Retry-After", "ETag", "RateLimit", "X-Request-ID", "Idempotency-Replayed"
)  # fmt: skip


def create_app(config: Config, services: Services | None = None) -> Flask:
    """Return the web application; `services` are connected by `config` unless given."""
    log.configure(config.log_level, config.log_format)
    services = services or connect(config)
    app = Flask(__name__, static_folder=None, template_folder="demo/templates")
    rate = RequestRate(services.redis, config.rate_limit)
    app.extensions.update(
        services=services,
        tokens=services.tokens,
        starter=services.starter,
        tryons=services.tryons,
        garments=services.garments,
        health=services.health,
        rate=rate,
        demo=Demo(
            config.public_url,
            config.supabase_publishable_key,
            config.demo_email,
            config.demo_password,
        ),
    )
    access_log.init_app(app)
    uploads.init_app(app, MAX_BYTES)
    status_middleware.init_app(app, services.tokens, services.tryons)
    app.wsgi_app = _Proxied(app.wsgi_app)  # type: ignore[method-assign]
    api = openapi.init_app(app)
    api.register_blueprint(tryon_bp)
    api.register_blueprint(garments_bp)
    api.register_blueprint(health.bp)
    assets.init_app(app)
    app.register_blueprint(demo_bp)
    envelope.init_app(app)
    headers.init_app(app, config.trusted_hosts)
    _serve_operators(app, config, services, rate)
    _allow_origins(app, config.cors_origins)
    return app


def with_commands_only(wrong: ConfigError) -> Flask:
    """Return an application that serves nothing: settings are wrong, and `doctor` says which."""
    app = Flask(__name__, static_folder=None)
    app.extensions["config_error"] = wrong
    app.extensions["checks"] = Checks(all=lambda: settings_that_are_wrong(wrong))
    cli.init_app(app)
    return app


def _serve_operators(app: Flask, config: Config, services: Services, rate: RequestRate) -> None:
    """Add the commands, `/metrics` and the pages of the operator."""
    operators = Operators(rate, config.admin_user, config.admin_password, config.metrics_token)
    watch, counts = services.watch, services.counts
    pages = Pages(watch.overview, lambda: exposition(watch.overview(), counts))
    operations.init_app(app, pages, operators)
    if config.admin_password:
        dashboard.init_app(app, services.redis, QUEUE, operators)
    app.extensions["tools"] = Tools(
        starter=services.starter, tryons=services.tryons, garments=services.garments,
        garment_removal=services.garment_removal, pictures=services.pictures,
        records=services.records, pauses=services.pauses, health=services.health,
        database_now=services.clock.measured_now, migrate=services.migrate,
    )  # fmt: skip
    app.extensions["checks"] = Checks(
        all=lambda: look_at_everything(config, services),
        keys=lambda: look_at_keys(config, services),
        try_on=lambda output: make_try_on(services, config.pixazo_poll_interval, output),
    )
    cli.init_app(app)


class _Proxied(ProxyFix):
    """Takes from a proxy's headers no scheme that a page cannot have, and no address that is none.

    A client may send such headers, too. What the proxy has added stands last, behind a comma.
    """

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        schemes = environ.get("HTTP_X_FORWARDED_PROTO", "https").split(",")
        if schemes[-1].strip() not in ("http", "https"):
            del environ["HTTP_X_FORWARDED_PROTO"]
        client = environ.pop("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        with suppress(ValueError):
            environ["HTTP_X_FORWARDED_FOR"] = str(ip_address(client))
        return super().__call__(environ, start_response)


def _allow_origins(app: Flask, origins: Sequence[str]) -> None:
    """Have browsers let pages of these origins call the API."""
    CORS(
        app,
        resources=r"/api/.*",
        origins=[_origin_pattern(origin) for origin in origins],
        methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"],
        expose_headers=EXPOSED_HEADERS,
        max_age=600,
    )


def _origin_pattern(origin: str) -> re.Pattern[str]:
    """An origin as a pattern anchored at both ends; `*` stands for host labels or a port."""
    pattern = re.escape(origin.rstrip("/"))
    pattern = re.sub(r":\\\*\Z", ":[0-9]{1,5}", pattern)
    pattern = pattern.replace(r"\*", r"[a-z0-9-]+(\.[a-z0-9-]+)*")
    return re.compile(rf"\A{pattern}\Z")
