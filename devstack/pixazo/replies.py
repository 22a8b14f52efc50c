"""The vendor's bodies, as its documents and clients of both contracts show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devstack.pixazo.tasks import Task

LEGACY_WORDS = {
    "QUEUED": "submitted",
    "PROCESSING": "processing",
    "COMPLETED": "succeed",
    "FAILED": "failed",
    "ERROR": "failed",
}

# What a plain HTTP fault says unless the rule brings its own body.
ERROR_BODIES: dict[int, dict[str, Any]] = {
    401: {"statusCode": 401, "message": "Access denied due to invalid subscription key. Make sure "
          "to provide a valid key for an active subscription."},
    402: {"error": "Insufficient Balance", "message": "Your wallet does not have enough balance."},
    429: {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 1 seconds."},
}  # fmt: skip


def error(status: int, message: str = "") -> dict[str, Any]:
    """The JSON body of an error with this HTTP status."""
    names = {400: "Validation Error", 404: "Not Found", 500: "Internal Server Error"}
    usual = {"error": names.get(status, "Error"), "message": message or f"HTTP {status}"}
    return usual if message else ERROR_BODIES.get(status, usual)


def v2_submitted(task: Task, polling_url: str) -> dict[str, Any]:
    """HTTP 202 of the unified queue."""
    return {"request_id": task.request_id, "status": "QUEUED", "polling_url": polling_url}


def v2_status(task: Task, word: str, result_url: str) -> dict[str, Any]:
    """The status object of the unified queue; `media_url` is an array."""
    body: dict[str, Any] = {
        "request_id": task.request_id,
        "status": word,
        "model_id": "kling-virtual-try-on",
        "error": task.message if word in ("FAILED", "ERROR") else None,
        "output": None,
    }
    if word in ("FAILED", "ERROR"):
        return body
    if word == "COMPLETED":
        urls = [result_url] if task.done else []
        body["output"] = {"media_url": urls, "media_type": "application/octet-stream"}
    ended = word == "COMPLETED"
    updated = task.ends_at if ended else task.created_at
    body |= {"created_at": _iso(task.created_at), "updated_at": _iso(updated)}
    return body | {"completed_at": _iso(task.ends_at) if ended else None}


def legacy_submitted(task: Task) -> dict[str, Any]:
    """HTTP 200 with Kling's envelope; its request_id is not what a client polls with."""
    stamp = _milliseconds(task.created_at)
    return _envelope(
        task,
        {"task_id": task.task_id, "task_status": "submitted",
         "created_at": stamp, "updated_at": stamp},
    )  # fmt: skip


def legacy_status(task: Task, word: str, result_url: str) -> dict[str, Any]:
    """Kling's status envelope: a task that failed is HTTP 200 and code 0 too."""
    status = LEGACY_WORDS.get(word, word)
    data: dict[str, Any] = {
        "task_id": task.task_id,
        "task_status": status,
        "task_status_msg": task.message if status == "failed" else "",
        "created_at": _milliseconds(task.created_at),
        "updated_at": _milliseconds(task.ends_at if status == "succeed" else task.created_at),
        "task_result": {},
    }
    if status == "succeed" and task.done:
        data["task_result"] = {"images": [{"index": 0, "url": result_url}]}
    return _envelope(task, data)


def legacy_error(status: int, message: str) -> dict[str, Any]:
    """Kling's service codes: 1201 invalid parameters, 1203 no such resource, 5000 internal."""
    codes = {400: 1201, 404: 1203}
    return {"code": codes.get(status, 5000), "message": message, "request_id": ""}


def _envelope(task: Task, data: dict[str, Any]) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": task.request_id, "data": data}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
