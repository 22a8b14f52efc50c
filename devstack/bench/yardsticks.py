"""What the polls are measured against, under gunicorn with the service's own settings.

`constant` is the least that Flask can do; `database` is the service without its status cache.
"""

from collections.abc import Collection
from dataclasses import replace

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from config import Config
from vton.app import create_app
from vton.tryon.model import SessionState
from vton.tryon.ports.queue import CachedStatus, TypicalDurations
from vton.wiring import connect


class Nothing:
    """A `vton.tryon.ports.queue.StatusCache` that keeps nothing."""

    def find(self, user_id: str, session_id: str) -> CachedStatus:  # noqa: ARG002
        """Know nothing."""
        return CachedStatus(None, deleted=False, result=None, typical=None)

    def advance(self, user_id: str, session_id: str, state: SessionState) -> bool:  # noqa: ARG002
        """Keep nothing."""
        return True

    def fill(self, user_id: str, session_id: str, state: SessionState) -> SessionState:  # noqa: ARG002
        """Keep nothing."""
        return state

    def mark_deleted(self, user_id: str, session_id: str) -> None:
        """Keep nothing."""

    def extend_ttl(self, sessions: Collection[tuple[str, str]]) -> None:
        """Keep nothing."""

    def record_durations(self, durations: TypicalDurations) -> None:
        """Keep nothing."""


def constant() -> Flask:
    """Return a view that answers the same to everybody, and nothing else."""
    app = Flask("constant")
    answer = {"success": True, "data": {"sessionId": "8a6e0804", "status": "processing"}}

    @app.get("/")
    def view() -> ResponseReturnValue:
        return jsonify(answer)

    @app.post("/")
    def read() -> ResponseReturnValue:
        request.files["userImage"].stream.read()
        return jsonify(answer)

    return app


def database() -> Flask:
    """Return the service as it would be if each poll read the database."""
    config = Config.from_env()
    services = connect(config)
    tryons = replace(services.tryons, status_cache=Nothing())
    return create_app(config, replace(services, tryons=tryons))
