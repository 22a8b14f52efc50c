"""`/admin/rq`: rq-dashboard behind a login, to look at and not to touch.

rq-dashboard has no login, changes state by plain GETs, reads jobs with pickle, makes Redis
clients of its own for each request, and shows some of what jobs carry unescaped. So here

- nothing passes without the password, and then only reads that are listed, with arguments
  that look like what they should be; everything else is refused;
- it is given our Redis client, in a form that writes nothing, and classes of RQ's that read
  JSON;
- a policy lets the browser run only the scripts that rq-dashboard has come with.
"""

import base64
import hashlib
import re
from contextlib import suppress
from typing import Any, cast

from flask import Flask, Response, current_app, request
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq_dashboard import web as rq_web  # type: ignore[import-untyped]
from werkzeug.exceptions import MethodNotAllowed

from vton.errors import Problem, Unavailable
from vton.web.envelope import failure
from vton.web.operators import LOGIN, Operators

PREFIX = "/admin/rq"
ENDPOINTS = {
    f"rq_dashboard.{name}"
    for name in (
        "static", "favicon", "queues_overview", "workers_overview", "jobs_overview", "job_view",
        "list_queues", "list_workers", "list_jobs", "job_info",
    )
}  # fmt: skip
"""What may be asked for. The rest of rq-dashboard changes something."""
ARGUMENTS = {
    "instance_number": r"0",
    "job_id": r"[A-Za-z0-9_-]{1,200}",
    "queue_name": r"[A-Za-z0-9_.-]{1,100}",
    "registry_name": r"queued|started|finished|failed|canceled|deferred|scheduled",
    "order": r"asc|dsc",
    "per_page": r"[1-9][0-9]{0,2}",
    "page": r"[1-9][0-9]{0,5}",
}
"""What its addresses may have in them: it would answer 500 to some of the rest."""
READS = {
    "EXISTS", "HGET", "HGETALL", "LLEN", "LRANGE", "SMEMBERS", "XREVRANGE", "ZCARD", "ZRANGE"
}  # fmt: skip
"""The Redis commands that its pages need."""
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {scripts}; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE_SCRIPT = re.compile(r'<script type="text/javascript">(.*?)</script>', re.DOTALL)


def init_app(app: Flask, redis: Redis, queue: str, operators: Operators) -> None:
    """Put the dashboard into `app`; `queue` is the one that is shown first.

    Call it after the envelope's `init_app`. Redis is not asked for anything yet.
    """
    rq_web.config.serializer = JSONSerializer
    rq_web.Job, rq_web.Worker, rq_web.from_url = _JsonJob, _JsonWorker, _our_redis
    cast(Any, app).redis_conn = _ReadingRedis(connection_pool=redis.connection_pool)
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("Redis",)  # a label; credentials have no place here
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True

    def check() -> None:
        if _is_ours():
            operators.check_login()
            _check_request(queue)

    def protect(response: Response) -> Response:
        return _protect(response) if _is_ours() else response

    app.before_request(check)
    app.after_request(protect)
    app.register_blueprint(rq_web.blueprint, url_prefix=PREFIX)


# -- who may do what -------------------------------------------------------------------------


def _is_ours() -> bool:
    return request.blueprint == rq_web.blueprint.name or request.path.startswith(PREFIX)


def _check_request(queue: str) -> None:
    other_method = isinstance(request.routing_exception, MethodNotAllowed)
    unlisted = request.endpoint is not None and request.endpoint not in ENDPOINTS
    if request.method not in ("GET", "HEAD") or other_method or unlisted:
        raise Problem("read_only")
    arguments = request.view_args or {}
    if request.endpoint == "rq_dashboard.jobs_overview" and arguments["queue_name"] is None:
        arguments["queue_name"] = queue
    for name, pattern in ARGUMENTS.items():
        if name in arguments and not re.fullmatch(pattern, str(arguments[name])):
            raise Problem("not_found")


def _protect(response: Response) -> Response:
    """Add the login's challenge, and what keeps others from framing, keeping or scripting it."""
    scripts: list[str] = []
    if response.mimetype == "text/html" and not response.direct_passthrough:
        scripts = _INLINE_SCRIPT.findall(response.get_data(as_text=True))
    response.headers["Content-Security-Policy"] = POLICY.format(
        scripts=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    )
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = LOGIN
    return response


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@rq_web.blueprint.errorhandler(NoSuchJobError)  # type: ignore[untyped-decorator]
@rq_web.blueprint.errorhandler(InvalidJobOperation)  # type: ignore[untyped-decorator]
def _unknown_job(_: Exception) -> Response:
    return failure(Problem("not_found"))


@rq_web.blueprint.errorhandler(RedisError)  # type: ignore[untyped-decorator]
def _redis_away(_: Exception) -> Response:
    return failure(Unavailable())


# -- what rq-dashboard reads with ------------------------------------------------------------


class _ReadingRedis(Redis):
    """Leaves out every command that is not a read: RQ tidies up while it looks."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] not in READS:
            return 0
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        return _ReadingPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )


class _ReadingPipeline(Pipeline):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] not in READS:
            return self
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def _our_redis(*_: Any, **__: Any) -> tuple[None, Redis]:
    """Stand in for `redis_sentinel_url.connect`, which is called for each request."""
    return None, cast(Any, current_app).redis_conn


class _JsonJob(Job):
    @classmethod
    def fetch(cls, id: str, connection: Redis | None = None, serializer: Any = None) -> Job:
        return super().fetch(id, connection, serializer or JSONSerializer)


class _JsonWorker(Worker):
    @classmethod
    def all(cls, *args: Any, **options: Any) -> Any:
        return super().all(*args, **{**options, "serializer": JSONSerializer})

    def get_current_job(self) -> Job | None:
        """One of the jobs that the worker runs, None also when it has just gone."""
        with suppress(NoSuchJobError):
            return super().get_current_job()
        return None

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the timeout of the connections: RQ would make it seven minutes for all."""
        return connection
