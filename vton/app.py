"""The service on one screen."""

import re

from flask import Flask
from flask_cors import CORS
from flask_smorest import Api
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Config
from vton import cli, log
from vton.adapters.queue import QUEUE
from vton.demo.routes import Demo
from vton.demo.routes import bp as demo_bp
from vton.garments.routes import bp as garments_bp
from vton.imaging import MAX_BYTES
from vton.tryon.routes import bp as tryon_bp
from vton.web import dashboard, envelope, health
from vton.wiring import Services, connect

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a multipart form may need beside the photo itself."""
EXPOSED_HEADERS = (
    "Location", "Retry-After", "ETag", "RateLimit", "X-Request-ID", "Idempotency-Replayed"
)  # fmt: skip


def create_app(config: Config, services: Services | None = None) -> Flask:
    """Return the web application; `services` are connected by `config` unless given."""
    log.configure(config.log_level)
    services = services or connect(config)
    app = Flask(__name__, static_folder="demo/static", template_folder="demo/templates")
    app.config.update(
        API_TITLE="Virtual try-on",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=MAX_BYTES + FORM_OVERHEAD_BYTES,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions.update(
        tokens=services.tokens,
        tryons=services.tryons,
        garments=services.garments,
        checks=services.checks,
        demo=Demo(
            config.supabase_url,
            config.supabase_publishable_key,
            config.demo_email,
            config.demo_password,
        ),
    )
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    api = Api(app)
    api.register_blueprint(tryon_bp)
    api.register_blueprint(garments_bp)
    app.register_blueprint(health.bp)
    app.register_blueprint(demo_bp)
    app.cli.add_command(cli.garments_commands)
    envelope.init_app(app)
    if config.admin_password:
        dashboard.init_app(app, services.redis, QUEUE, config.admin_user, config.admin_password)
    CORS(
        app,
        resources=r"/api/.*",
        origins=[_origin_pattern(origin) for origin in config.cors_origins],
        methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"],
        expose_headers=EXPOSED_HEADERS,
        max_age=600,
    )
    return app


def _origin_pattern(origin: str) -> re.Pattern[str]:
    """An origin as a pattern anchored at both ends; `*` stands for host labels or a port."""
    labels = r"[a-z0-9-]+(\.[a-z0-9-]+)*"
    pattern = re.escape(origin.rstrip("/")).replace(r"\*", labels)
    return re.compile(rf"\A{pattern}\Z")
