"""The wire contract: Pixazo's routes without a prefix, the tests' own under `/_simulator`."""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from redis import Redis
from redis.exceptions import RedisError

from devstack.local import LOCAL_HOSTS, refuse_pages
from devstack.pixazo import compose, faults, replies
from devstack.pixazo.intake import IntakeError, read_picture
from devstack.pixazo.settings import FATES, FaultRules, Rule, Settings
from devstack.pixazo.states import State, state_of
from devstack.pixazo.tasks import Ledger, Pictures, Task, Tasks, new_ids
from vton.adapters.redis.circuit_breaker import PAUSED_KEY, PROBE_KEY, TRIPPED_KEY

KEY_HEADER = "Ocp-Apim-Subscription-Key"
MAX_BODY = 30_000_000  # two base64 pictures of 10 MB

vendor = Blueprint("vendor", __name__)
control = Blueprint("control", __name__, url_prefix="/_simulator")


class Simulator:
    """Everything the simulator knows; `reset` brings back the state at its start."""

    def __init__(self, key: str, settings: Settings) -> None:
        self.key = key
        self.initial = settings
        self.reset()

    def reset(self) -> None:
        """Forget tasks, ledger, pictures and run-time settings."""
        self.tasks, self.ledger, self.pictures = Tasks(), Ledger(), Pictures()
        self.configure(self.initial)

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self.settings, self.faults = settings, FaultRules(settings.faults)


def create_app(key: str, settings: Settings, redis_url: str = "") -> Flask:
    """A WSGI application that keeps its state in this process: one worker process only.

    `redis_url` is where the service keeps that it has paused.
    """
    app = Flask(__name__)
    app.config["REDIS_URL"] = redis_url
    app.config["TRUSTED_HOSTS"] = LOCAL_HOSTS
    refuse_pages(app, control.url_prefix)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.extensions["simulator"] = Simulator(key, settings)
    app.register_blueprint(vendor)
    app.register_blueprint(control)
    app.register_error_handler(IntakeError, lambda e: _error(e.status, e.message))
    return app


@vendor.post("/kling-ai-vton/v1/getVirtualTryOnTask")
def submit() -> Response:
    """Take a try-on: v2 answers 202 with a polling_url, legacy 200 with Kling's envelope."""
    ledger, facts = _simulator().ledger, dict.fromkeys(("person", "garment", "field"))
    try:
        _check_key()
        pictured, state = _intake()
        facts |= pictured
    except IntakeError as refusal:
        ledger.submit(**facts, accepted=False, request_id=None, task_id=None, fault=None,
                     refused=refusal.status)  # fmt: skip
        raise
    rule = _simulator().faults.take("submit") or state.submit
    task = _accept(facts, rule, state) if rule is None or rule.accepts else None
    ledger.submit(
        **facts,
        accepted=task is not None,
        request_id=task and task.request_id,
        task_id=task and task.task_id,
        fault=rule and rule.kind,
        refused=None,
    )
    honest = _submitted(task) if task else Response()
    return faults.spoil(rule, honest) if rule else honest


@vendor.get("/v2/requests/status/<request_id>")
def status(request_id: str) -> Response:
    """The unified queue's status; 404 for an id that was never given out."""
    return _polled(request_id, replies.v2_status, replies.error(404, "Request not found"))


@vendor.post("/kling-ai-polling/v1/getVirtualTryOnStatus")
def legacy_status() -> Response:
    """The legacy poll: `{"task_id": …}`."""
    return _polled(
        _json().get("task_id"), replies.legacy_status, replies.legacy_error(404, "task not found")
    )


@vendor.get("/results/<request_id>/output.<extension>")
def result(request_id: str, extension: str) -> Response:
    """The picture, without a key, as from the vendor's public bucket."""
    simulator = _simulator()
    task = simulator.tasks.get(request_id)
    if task is None or not task.done or extension != task.result_format:
        return _error(404, "Object not found")
    simulator.ledger.count("downloads")
    content = simulator.pictures.result(task, _compose)
    if content is None:
        return _error(404, "Object expired")
    honest = Response(content, mimetype=f"image/{task.result_format}")
    rule = simulator.faults.take("result") or task.result_rule
    return faults.spoil(rule, honest) if rule else honest


@control.route("/settings", methods=["GET", "PUT"])
def settings() -> Response:
    """The settings; PUT changes those that are given (faults as a whole list)."""
    simulator = _simulator()
    if request.method == "PUT":
        try:
            simulator.configure(_now(simulator).changed(_json()))
        except ValueError as error:
            return _error(400, str(error))
    return jsonify(_now(simulator).as_json())


@control.post("/reset")
def reset() -> Response:
    """Forget everything, back to the options of the command line; nothing is paused any more."""
    _simulator().reset()
    if url := current_app.config["REDIS_URL"]:
        with suppress(RedisError), Redis.from_url(url) as redis:
            redis.delete(PAUSED_KEY, PROBE_KEY, TRIPPED_KEY)
    return jsonify(_now(_simulator()).as_json())


@control.get("/submits")
def submits() -> Response:
    """The ledger: every submit in order, accepted or not."""
    return jsonify(_simulator().ledger.entries())


@control.get("/stats")
def stats() -> Response:
    """Totals of the ledger, and how many tasks are in each status now."""
    simulator = _simulator()
    return jsonify(simulator.ledger.totals() | {"tasks": simulator.tasks.count()})


def _simulator() -> Simulator:
    found = current_app.extensions["simulator"]
    assert isinstance(found, Simulator)
    return found


def _now(simulator: Simulator) -> Settings:
    """The settings with the faults that are left."""
    return simulator.settings.changed({"faults": simulator.faults.left()})


def _check_key() -> None:
    """401 as the vendor's API management answers it."""
    given = request.headers.get(KEY_HEADER, "")
    if not hmac.compare_digest(given.encode(), _simulator().key.encode()):
        raise IntakeError(401, "")


def _json() -> dict[str, Any]:
    """The request's JSON object; anything else is an empty one, so that fields are missed."""
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def _intake() -> tuple[dict[str, Any], State]:
    """Hashes of both pictures and the garment field used, and how it is to end.

    IntakeError names what is wrong.
    """
    body, pictures = _json(), _simulator().pictures
    wanted = _simulator().settings.garment_field
    if wanted == "either":
        wanted = "image_tail" if "image_tail" in body else "cloth_image"
    for name in {"cloth_image", "image_tail"} - {wanted}:
        if body.get(name) and not body.get(wanted):
            raise IntakeError(400, f"{wanted} is required; {name} is not a known parameter")
    person = read_picture("human_image", body.get("human_image"))
    garment = read_picture(wanted, body.get(wanted))
    facts = {"person": pictures.put(person), "garment": pictures.put(garment), "field": wanted}
    return facts, state_of(garment)


def _accept(facts: dict[str, Any], rule: Rule | None, state: State) -> Task:
    """A new task: from here on the vendor charges."""
    now = _simulator().settings
    request_id, task_id = new_ids(now.contract)
    delay = now.delay if state.delay is None else state.delay
    task = Task(request_id, task_id, facts["person"], facts["garment"], delay,
                now.result_format, result_rule=state.result)  # fmt: skip
    if rule and rule.kind in FATES:
        task = replace(task, fate=rule.kind, word=rule.word, message=rule.message)
    _simulator().tasks.add(task)
    return task


def _submitted(task: Task) -> Response:
    if task.task_id != task.request_id:
        return jsonify(replies.legacy_submitted(task))
    url = f"{request.host_url}v2/requests/status/{task.request_id}"
    reply = jsonify(replies.v2_submitted(task, url))
    reply.status_code = 202
    return reply


def _polled(task_id: object, shape: Any, unknown: dict[str, Any]) -> Response:
    """A poll of either contract: key, task, status object, and perhaps a fault."""
    simulator = _simulator()
    _check_key()
    simulator.ledger.count("polls")
    task = simulator.tasks.get(task_id)
    if task:
        url = f"{request.host_url}results/{task.task_id}/output.{task.result_format}"
        honest = jsonify(shape(task, task.status(), url))
    else:
        honest = jsonify(unknown)
        honest.status_code = 404
    rule = simulator.faults.take("status") if task else None
    return faults.spoil_status(rule, honest) if rule else honest


def _compose(person: bytes, garment: bytes, result_format: str, fate: str) -> bytes:
    _simulator().ledger.count("composed")
    if fate != "completed":
        return compose.without_garment(person, result_format, blank=fate == "blank")
    return compose.try_on(person, garment, result_format)


def _error(status_code: int, message: str) -> Response:
    """An error that the simulator itself finds, in the shape of the contract in use."""
    legacy = _simulator().settings.contract == "legacy"
    shape = replies.legacy_error if legacy and status_code != 401 else replies.error
    reply = jsonify(shape(status_code, message))
    reply.status_code = status_code
    return reply
