"""`/health/live`: the process answers. `/health/ready`: so do Redis and Supabase."""

from collections.abc import Callable, Mapping
from typing import cast

from flask import current_app
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from vton.errors import Unavailable
from vton.web.auth import public
from vton.web.envelope import Answer, answer
from vton.web.openapi import envelope, refusals

bp = Blueprint("health", __name__, url_prefix="/health")


class Health(Schema):
    """It answers."""

    status = fields.String(required=True, validate=validate.Equal("ok"))


@bp.get("/live")
@public
@bp.response(200, envelope(Health))
@bp.doc(operationId="isLive")
def live() -> Answer:
    """Say that the process answers; it asks nobody else."""
    return answer({"status": "ok"})


@bp.get("/ready")
@public
@bp.response(200, envelope(Health))
@bp.doc(operationId="isReady", responses=refusals("unavailable"))
def ready() -> Answer:
    """Say whether a try-on could be taken now: 503 while Redis or Supabase is away."""
    checks = cast(Mapping[str, Callable[[], bool]], current_app.extensions["checks"])
    if not all(check() for check in checks.values()):
        raise Unavailable
    return answer({"status": "ok"})
