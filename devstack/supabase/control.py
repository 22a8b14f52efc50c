"""The control panel at `/_gateway`: make the gateway slow, spoil its answers, count its calls.

    PUT  /_gateway/settings  {"latency": 0.05, "fault": {"kind": "cut", "paths": "rpc/claim_"}}
    PUT  /_gateway/settings  {"token_seconds": 60}
    PUT  /_gateway/settings  {"secret_keys": ["sb_secret_old", "sb_secret_new"]}
    POST /_gateway/used      {"email": "sample@example.com", "times": 48}
    GET  /_gateway/calls     {"POST rest rpc/claim_submit": 1, "GET auth user": 1, "total": 2}
    POST /_gateway/reset

A browser's preflight is a call of its own, with the method OPTIONS.
"""

import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

from flask import Blueprint, Response, after_this_request, current_app, jsonify, request
from werkzeug.http import HTTP_STATUS_CODES

from devstack.supabase.services import gateway

bp = Blueprint("control", __name__, url_prefix="/_gateway")

SANDBOX = "sandbox"
"""The provider of tries that nobody has made."""
SERVICES = ("rest", "auth", "storage")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGE = "<html><head><title>{0}</title></head>\n<body><center><h1>{0}</h1></center></body></html>\n"


@dataclass(frozen=True)
class Fault:
    """How calls go wrong, and which: those of `services`, `methods` and `paths` together."""

    kind: str  # http, hang or cut; the request is read in any case
    status: int = 503  # http
    body: Any = None  # http: JSON; None: a proxy's HTML page
    seconds: float = 5.0  # hang: until the connection is closed without an answer
    services: Sequence[str] = SERVICES
    methods: Sequence[str] | None = None  # None: all
    paths: str | None = None  # a part of the path; None: all
    times: int | None = None  # as many calls as are still to be spoilt; None: all that come
    after_work: bool = False  # carry the call out, and spoil only the answer

    def __post_init__(self) -> None:
        """Complain about wrong values, so that a wrong test fails where it is wrong."""
        times = self.times
        fine = {
            "kind": self.kind in ("http", "hang", "cut"),
            "status": type(self.status) is int and 200 <= self.status < 600,
            "seconds": _is_seconds(self.seconds),
            "services": _are_some(self.services, SERVICES),
            "methods": self.methods is None or _are_some(self.methods, METHODS),
            "paths": self.paths is None or isinstance(self.paths, str),
            "times": times is None or (type(times) is int and times > 0),
            "after_work": isinstance(self.after_work, bool),
        }
        if not all(fine.values()):
            raise ValueError(f"fault: wrong {', '.join(name for name in fine if not fine[name])}")

    def spoil(self, honest: Response | None = None) -> Response:
        """The answer in place of the honest one, or the end of the connection."""
        if honest is not None:
            honest.close()
        if self.kind == "http":
            title = f"{self.status} {HTTP_STATUS_CODES.get(self.status, 'Error')}"
            answer = Response(PAGE.format(title)) if self.body is None else jsonify(self.body)
            answer.status_code = self.status
            return answer
        if self.kind == "hang":
            time.sleep(self.seconds)
        with suppress(OSError):  # the client may be gone
            request.environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)
        return Response()  # cannot be sent any more, upon which gunicorn closes the connection


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    latency: float = 0.0  # seconds added to each call
    fault: Fault | None = None
    token_seconds: int = 3600  # how long an access token is good from now on
    secret_keys: Sequence[str] = ()  # the secret keys that are taken; none: the project's own

    def changed(self, changes: Any) -> "Settings":
        """These settings with `changes` (from JSON); ValueError says what is wrong with them."""
        try:
            new = replace(self, **changes)
            if changes.get("fault") is not None:
                new = replace(new, fault=Fault(**changes["fault"]))
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not _is_seconds(new.latency):
            raise ValueError("wrong latency")
        if type(new.token_seconds) is not int or not 1 <= new.token_seconds <= 604_800:
            raise ValueError("wrong token_seconds")
        keys = new.secret_keys
        if not isinstance(keys, list | tuple) or not all(isinstance(key, str) for key in keys):
            raise ValueError("wrong secret_keys")
        return new


class Control:
    """The settings in force and the calls so far, for requests in many threads."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.calls = Counter[str]()
        self._lock = Lock()

    def change(self, changes: Any) -> None:
        """Change some of the settings."""
        with self._lock:
            self.settings = self.settings.changed(changes)

    def note(self, service: str, what: str) -> tuple[float, Fault | None]:
        """Count this call, and perhaps a fault down; returns the call's latency and fault."""
        method = request.method
        with self._lock:
            self.calls[f"{method} {service} {what}".rstrip()] += 1
            now, fault = self.settings, self.settings.fault
            if (
                fault is None
                or service not in fault.services
                or (fault.methods is not None and method not in fault.methods)
                or (fault.paths is not None and fault.paths not in request.path)
            ):
                return now.latency, None
            if fault.times is not None:
                left = replace(fault, times=fault.times - 1) if fault.times > 1 else None
                self.settings = replace(now, fault=left)
            return now.latency, fault


def before_request() -> Response | None:
    """Count a call of one of the services, delay it, and spoil it now or once it is done."""
    parts = request.path.split("/")
    if parts[1] not in SERVICES:
        return None
    what = "/".join(parts[3:5] if parts[3:4] == ["rpc"] else parts[3:4])
    latency, fault = _control().note(parts[1], what)
    if latency:
        time.sleep(latency)
    if fault is None:
        return None
    if fault.after_work:
        after_this_request(fault.spoil)
        return None
    request.get_data(cache=False)  # a connection closed upon unread bytes is reset, answer and all
    return fault.spoil()


@bp.route("/settings", methods=["GET", "PUT"])
def settings() -> Response | tuple[Response, int]:
    """The settings; PUT changes those that are given, `fault` as a whole."""
    if request.method == "PUT":
        try:
            _control().change(request.get_json(force=True, silent=True))
        except ValueError as error:
            return jsonify(message=str(error)), 400
    return jsonify(asdict(_control().settings))


@bp.post("/reset")
def reset() -> Response:
    """Back to the defaults, and all counts to zero; calls that are under way are left alone."""
    current_app.extensions["control"] = Control()
    with gateway().database.transaction(None) as cursor:
        cursor.execute("select to_regclass('public.submits') as ledger")
        if any(row["ledger"] for row in cursor):
            cursor.execute("delete from public.submits where provider = %s", (SANDBOX,))
    return jsonify(asdict(_control().settings))


@bp.post("/used")
def used() -> Response | tuple[Response, int]:
    """Have a user tried on so many times today, for free, until a reset: their quota is nearer."""
    asked = request.get_json(force=True, silent=True)
    asked = asked if isinstance(asked, dict) else {}
    email, times = asked.get("email"), asked.get("times")
    if not isinstance(email, str) or type(times) is not int or not 0 < times <= 1000:
        return jsonify(message="email: a user's; times: 1 to 1000"), 400
    with gateway().database.transaction(None) as cursor:
        cursor.execute(
            "insert into public.submits"
            " (attempt, session_id, user_id, outcome, provider, task_id, charged)"
            " select gen_random_uuid(), gen_random_uuid(), u.id, 'accepted', %s,"
            " gen_random_uuid(), false from auth.users u, generate_series(1, %s)"
            " where u.email = %s",
            (SANDBOX, times, email),
        )
        return jsonify(times=cursor.rowcount)


@bp.get("/calls")
def calls() -> dict[str, int]:
    """Calls since the last reset, by method, service and first part of the path."""
    counts = dict(_control().calls)
    return {**counts, "total": sum(counts.values())}


def _control() -> Control:
    found: Control = current_app.extensions["control"]
    return found


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 3600  # type: ignore[operator]


def _are_some(values: object, known: Sequence[str]) -> bool:
    return isinstance(values, list | tuple) and bool(values) and all(v in known for v in values)
