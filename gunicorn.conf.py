"""How gunicorn runs the web process. Where it listens, PORT says (gunicorn's own default)."""

from typing import Any

from gunicorn.glogging import Logger

from config import Config
from vton import log
from vton.process import hide_from_others

# Nothing here imports what speaks TLS: gevent has to come before that, in each worker.
hide_from_others()
_config = Config.from_env()  # ends the server, with a line, where a setting is wrong


def _services(worker: Any) -> Any:
    """Return what the application works with; None of one that is not ours, as a benchmark's."""
    return getattr(worker.wsgi, "extensions", {}).get("services")


def post_worker_init(worker: Any) -> None:
    """Check whether the process can work, and say that it is ready."""
    from vton import start

    if services := _services(worker):
        with worker.ending_the_master():
            # One that replaces another ends nobody: /health/ready says what is wrong.
            first = worker.age <= _config.web_concurrency
            start.web(_config, services, refuse=first)


def worker_exit(_server: Any, worker: Any) -> None:
    """Add up what the process has counted."""
    from vton import start

    if services := _services(worker):
        start.end(services)


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """What the server says of itself reads like the rest; answers are told by `access_log`."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = [log.handler(_config.log_format)]

    def access(self, *_: Any) -> None:
        """Say nothing: gunicorn would put a line together for each request."""


logger_class = _Logger
workers = _config.web_concurrency
# Measured on 2 cores, one process, the real parts behind it (2026-11-24), as polls a second and
# their 99th percentile:
#
#                                     gthread, 8    gthread, 32   gevent
#   32 connections that poll          365, 151 ms   303, 251 ms   390, 197 ms
#   8, beside two of 3 MB photos      171, 108 ms   138, 143 ms   121, 199 ms
#   8, beside 40 uploads of 1 byte/s  0             0             267, 124 ms
#
# A slow upload holds a thread for as long as it likes, and a phone in a lift is one: with
# threads, a few of them stop every poll. gevent gives each connection a greenlet; what it costs
# is that a photo being decoded (30 to 100 ms) delays the polls of its process.
worker_class = "vton.web.gunicorn_worker.Worker"
# Clients are made in each worker, after the fork: an inherited connection may answer with
# another process's rows.
preload_app = False
# Below Heroku's 30 s, after which it kills.
graceful_timeout = 25
timeout = 30
# Longer than a router keeps an idle connection, or it would send a request just when that is closed
# here: Heroku's 90 s, AWS's 60. It is also how long gunicorn's gevent worker waits for a
# request's head, however slowly that comes; for a body vton/web/uploads.py says how long.
keepalive = 95
# Heroku's router sets X-Forwarded-Proto and is the only one that can reach the process.
forwarded_allow_ips = "*"
# And no other header says what the scheme was: proxies send several, and where two of gunicorn's
# defaults disagree it would refuse the request.
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
# So that an overlong token or cursor reaches the service, and its answer has CORS headers.
limit_request_field_size = 16_380
limit_request_line = 8_190
# A browser, Cloudflare and Heroku's router together send 43; gunicorn_worker.py bounds them all.
limit_request_fields = 100
# gunicorn would let a request's header of that name move the application elsewhere.
forwarder_headers = ""
accesslog = None
# Nobody here uses gunicorn's control interface.
control_socket_disable = True
