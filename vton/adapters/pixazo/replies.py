"""What Pixazo's answers mean, of both contracts: pure reading, without a call or a state.

- v2: the submit answers 202 with `request_id` and `polling_url`; a status has `status` and
  `output.media_url`. https://www.pixazo.ai/models/docs
- legacy, Kling's own envelope: `{code, message, request_id, data}`, where `data.task_id` is the
  task and `request_id` is only a trace id; a status has `data.task_status` and
  `data.task_result.images`. https://app.klingai.com/global/dev/document-api

Bodies may be HTML, and any field may be missing or of another type.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from vton.adapters.http.client import Answer
from vton.log import cleaned
from vton.tryon.ports.provider import (
    PaymentRequired,
    PermanentError,
    Progress,
    ProviderError,
    RetryableError,
    TaskNotFound,
)

logger = logging.getLogger(__name__)

GARMENT_FIELDS = ("cloth_image", "image_tail")
"""The vendor's pages name the garment's field both ways."""
MAX_RETRY_AFTER = 120.0

_RUNNING = frozenset(
    [
        "queued",
        "in_queue",
        "submitted",
        "pending",
        "starting",
        "created",
        "accepted",
        "waiting",
        "processing",
        "in_progress",
        "running",
    ]
)
_DONE = frozenset(["completed", "complete", "succeed", "succeeded", "success", "done", "ready"])
_FAILED = frozenset(
    [
        "failed",
        "fail",
        "failure",
        "error",
        "cancelled",
        "canceled",
        "rejected",
        "expired",
        "timeout",
    ]
)
_BILLING_CODES = frozenset({1100, 1101, 1102})
"""Kling's codes that come as 429 and are about money: account abnormal, arrears, pack used up."""
_ACCOUNT_CODES = frozenset({1000, 1001, 1002, 1003, 1004, 1103, 1202, 1203, 1304})
"""Kling's codes about the key, its permissions, where it may be used from, and its resources."""
_KEY_CODES = frozenset({1000, 1001, 1002, 1003, 1004})
"""Those of them that are about the key itself."""
_POLICY_CODES = frozenset({1300, 1301})
"""Kling's codes for a picture that its policy refuses."""
_PICTURE_WORDS = (
    "nsfw", "safety system", "sensitive information", "sensitive content", "inappropriate",
    "content policy", "content moderation", "risk control", "no human", "no person",
    "find a person", "find a human", "find any person",
)  # fmt: skip
"""What is said of a picture that is refused for what is on it."""
_PARAMETER_CODES = frozenset({1200, 1201})
"""Kling's codes for parameters that are not valid."""
_BUSY_CODES = frozenset({1302, 1303, 5001})
"""Kling's codes for too many requests or tasks at once, and for maintenance."""


# -- a submit --------------------------------------------------------------------------------


def read_submit(answer: Answer) -> tuple[str, str | None, bool]:
    """Return the task's id, its polling URL where v2 gives one, and whether it is legacy.

    Raises what a refusal means: RetryableError, PaymentRequired, PermanentError.
    """
    body = answer.json()
    if answer.status not in (200, 201, 202):
        raise _refusal(answer, body)
    if task_id := _legacy_task_id(body):  # whatever else it says: there is a task, and it is paid
        return task_id, None, True
    if _kling_code(body):
        raise _kling_refusal(body)
    names = ("request_id", "requestId", "id")
    task_id = _usable_id(next((body[name] for name in names if body.get(name)), None))
    polling_url = body.get("polling_url")
    return task_id, polling_url if isinstance(polling_url, str) else None, False


def is_about_the_garment_field(answer: Answer) -> bool:
    """Whether a validation error names the garment's field, or no field at all."""
    if answer.status not in (400, 422):
        return False
    if _kling_code(answer.json()) in _POLICY_CODES:
        return False
    text = answer.text[:2000]
    about_else = ["not found", "format", "size", "resolution", "pixel", "base64", "balance"]
    if not any(field in text for field in GARMENT_FIELDS):
        about_else.append("human_image")
    return not any(word in text.lower() for word in about_else)


def error_text(answer: Answer) -> str:
    """Return what the provider says of an error, for the log."""
    body = answer.json()
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    text = error or body.get("message") or body.get("detail") or answer.reason
    return f"{answer.status} {cleaned(text)!r}"


def _refusal(answer: Answer, body: Mapping[str, Any]) -> ProviderError:
    """What a submit's answer other than 2xx means."""
    status, text, code = answer.status, error_text(answer), _kling_code(body)
    if status >= 500 and status != 503:  # whatever it says, it may have been accepted
        return PermanentError("provider_uncertain", text)
    if status == 403 and _is_about_the_picture(body, text):
        return PermanentError("photo_rejected", text)
    no_model = body.get("error") == "Model not found"
    if status in (401, 404) or no_model or code in _ACCOUNT_CODES:
        return _account_refused(text)
    if code in _BILLING_CODES or status == 402 or (status == 403 and body):
        return PaymentRequired(text)
    if status in (403, 429, 503):  # 403 without JSON: an edge in front of the API challenges us
        return RetryableError(text, retry_after(answer))
    if status in (400, 413, 422):
        return PermanentError("photo_rejected", text)
    return PermanentError("provider_uncertain", text)


def _kling_refusal(body: Mapping[str, Any]) -> ProviderError:
    """What Kling's service code in an answer with status 200 means."""
    code = _kling_code(body)
    text = f"code {code} {cleaned(body.get('message'))!r}"
    if code in _BILLING_CODES:
        return PaymentRequired(text)
    if code in _BUSY_CODES:
        return RetryableError(text)
    if code in _PARAMETER_CODES or code in _POLICY_CODES:
        return PermanentError("photo_rejected", text)
    if code in _ACCOUNT_CODES:
        return _account_refused(text)
    return PermanentError("provider_uncertain", text)  # it may have been accepted


def _account_refused(text: str) -> PermanentError:
    """Key, account or address are wrong: nothing that a shopper can mend."""
    logger.error("ALARM the provider does not take our calls: %s", text)
    return PermanentError("provider_unavailable", text)


def _legacy_task_id(body: Mapping[str, Any]) -> str | None:
    """The `task_id` of the legacy envelope; its `request_id` is only a trace id."""
    task_id = _inner(body).get("task_id")
    return _usable_id(task_id) if task_id else None


def _usable_id(task_id: object) -> str:
    """A task's id as it may stand in a row, a URL and a log; what it is of is paid for."""
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", str(task_id)) or not task_id:
        raise PermanentError("provider_uncertain", "the submit's answer has no usable task id")
    return str(task_id)


def refuses_key(answer: Answer) -> bool:
    """Return whether an answer about a task that is not there refuses the key that was shown.

    Raises RetryableError where it says nothing of that: a fault, too many requests, or the page
    of an edge in front of the API.
    """
    body = answer.json()
    if answer.status == 401 or (answer.status == 403 and body) or _kling_code(body) in _KEY_CODES:
        return True
    if not body or answer.status in (408, 429) or answer.status not in (200, 400, 404, 422):
        raise RetryableError(f"no answer of the provider's: {error_text(answer)}")
    return False


# -- a status --------------------------------------------------------------------------------


def read_status(answer: Answer, task_id: str) -> Progress:
    """Return how a task is getting on. Raises RetryableError, TaskNotFound, PermanentError.

    That it has ended without a picture is believed of an answer that names the task: gateways
    answer `{"status": "error"}` with status 200, too, for calls that did not reach it.
    """
    body = answer.json()
    if not body:  # an HTML challenge or error page says nothing about the task
        raise RetryableError(f"status answered {answer.status} without JSON")
    status, text = answer.status, error_text(answer)
    if status == 403 and _is_about_the_picture(body, text):
        return Progress(failure="photo_rejected")
    if status in (401, 402, 403):
        raise _account_refused(f"status answered {text}")
    says_nothing = not _status_word(body) and _result_url(body) is None
    if status == 404 or (says_nothing and "not found" in str(body.get("message")).lower()):
        raise TaskNotFound(text)
    if status != 200:
        raise RetryableError(f"status answered {text}", retry_after(answer))
    found = _progress(body)
    if found.failure is not None and not _names(body, task_id):
        raise RetryableError(f"status answered {text} and does not name the task")
    return found


def retry_after(answer: Answer) -> float | None:
    """Return `Retry-After` in seconds, at most two minutes; its date form is not used here."""
    value = answer.headers.get("Retry-After", "")
    return min(float(value), MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else None


def _progress(body: Mapping[str, Any]) -> Progress:
    """Read a status of either contract. An unknown word with a picture is done."""
    word, url = _status_word(body), _result_url(body)
    if word in _FAILED:
        reason = body.get("error") or _inner(body).get("task_status_msg") or body.get("message")
        logger.warning("the provider's task failed: %s %r", word, cleaned(reason))
        if _is_about_the_picture(body, str(reason)) or "policy" in str(reason).lower():
            return Progress(failure="photo_rejected")
        return Progress(failure="provider_failed", charged=word != "error")
    if word in _DONE and url is None:
        return Progress(failure="result_unusable")
    if word not in _RUNNING and word not in _DONE:
        logger.warning("the provider's status %r is not known", cleaned(word)[:40])
    return Progress(result_url=url) if word not in _RUNNING else Progress()


def _status_word(body: Mapping[str, Any]) -> str:
    """The status of a task in either contract, "" where there is none."""
    inner = _inner(body)
    words = (body.get("status"), inner.get("status"), inner.get("task_status"))
    return next((str(word).lower() for word in words if word), "")


def _is_about_the_picture(body: Mapping[str, Any], reason: str) -> bool:
    """Whether this is for what the pictures show: the same ones would be refused again."""
    said = reason.lower()
    return _kling_code(body) in _POLICY_CODES or any(word in said for word in _PICTURE_WORDS)


def _result_url(body: Mapping[str, Any]) -> str | None:
    """The picture's URL, wherever a contract or a sibling model puts it; never an echoed input."""
    for holder in (body.get("output"), body.get("result"), body.get("data"), body):
        if isinstance(holder, dict):
            inner = holder.get("task_result")
            holder = {**holder, **(inner if isinstance(inner, dict) else {})}
            for name in ("media_url", "media_urls", "images", "image_url", "imageUrl", "url"):
                if url := _first_url(holder.get(name)):
                    return url
        elif url := _first_url(holder):
            return url
    return None


def _first_url(value: object) -> str | None:
    """A URL given as a string, or as the first of a list of strings or of `{url}`."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("url")
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _names(body: Mapping[str, Any], task_id: str) -> bool:
    """Whether a status, in either contract, is about this task."""
    names = ("request_id", "requestId", "task_id", "taskId", "id")
    return any(str(part.get(name)) == task_id for part in (body, _inner(body)) for name in names)


# -- both ------------------------------------------------------------------------------------


def _inner(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The legacy envelope's `data`, or the body itself."""
    data = body.get("data")
    return data if isinstance(data, dict) else body


def _kling_code(body: Mapping[str, Any]) -> int:
    """Kling's service code; 0 where there is none or all is well, as HTTP's 200 means it, too."""
    code = str(body.get("code"))
    return int(code) if re.fullmatch(r"(?!2[0-9]{2}$)-?[0-9]{1,9}", code) else 0
