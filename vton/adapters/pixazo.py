"""The Pixazo Kolors Virtual Try-On API: two contracts behind one submit path.

- v2, documented for this model since 2026-04: the submit answers 202 with `request_id` and
  `polling_url`; the status is `GET /v2/requests/status/{request_id}`.
- legacy, Kling's own envelope: the submit answers `{code, message, request_id, data}`, where
  `data.task_id` is the task and `request_id` is not; the status is a POST of the task id.

Which one it is, the submit's answer tells. A submit is paid and has no idempotency key, so
it is never repeated unless it was provably not accepted.
"""

import base64
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from vton.adapters.bounded import Answer, BoundedHttp
from vton.adapters.download import Downloads, is_loopback, read_url
from vton.adapters.pace import Pace
from vton.errors import Problem, Unavailable
from vton.imaging import verify_result
from vton.tryon.model import ProviderTask
from vton.tryon.ports import (
    Inputs,
    Later,
    Missing,
    Never,
    OtherField,
    OutOfMoney,
    PictureMissing,
    Pictures,
    Progress,
    ProviderError,
)

logger = logging.getLogger(__name__)

KEY_HEADER = "Ocp-Apim-Subscription-Key"
LEGACY_STATUS_PATH = "/kling-ai-polling/v1/getVirtualTryOnStatus"
GARMENT_FIELDS = ("cloth_image", "image_tail")
"""The vendor's pages name the garment's field both ways; the other one is tried once."""
MAX_URL = 2000
CONNECT_SECONDS = 5.0
SUBMIT_SECONDS = 20.0
"""How long a submit may last as a whole; a ticket counts on it (`run.TICKET_SECONDS`)."""
LOOK_SECONDS = 15.0
MAX_ANSWER_BYTES = 1024 * 1024
SLOW_SECONDS = 5.0
"""How long all looks pause after a 429 that does not say."""

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
_ACCOUNT_CODES = frozenset({1000, 1001, 1002, 1003, 1004, 1103, 1304})
"""Kling's codes about the key, its permissions, and where it may be used from."""
_POLICY_CODES = frozenset({1300, 1301})
"""Kling's codes for a picture that its policy refuses."""


@dataclass(frozen=True, slots=True)
class PixazoSettings:
    """Where the API is and what it is sent; see `.env.example`."""

    api_key: str
    base_url: str
    submit_path: str
    status_path: str
    person_field: str
    garment_field: str
    send_urls: bool
    allowed_hosts: frozenset[str]


class Pixazo:
    """Implements `vton.tryon.ports.Provider`. Safe to share between threads."""

    def __init__(
        self,
        settings: PixazoSettings,
        pictures: Pictures,
        pace: Pace,
        connections: int,
        downloads: Downloads,
    ) -> None:
        self._settings = settings
        self._pictures = pictures
        self._pace = pace
        self._downloads = downloads
        self._http = BoundedHttp(connections)

    # -- submit --------------------------------------------------------------------------

    def prepare(self, person: str, garment: str) -> Inputs:
        return Inputs(self._image(person), self._image(garment))

    def submit(self, inputs: Inputs, *, other_field: bool) -> ProviderTask:
        fields = self._settings.garment_field.split(",")
        other = self._other_garment_field(fields)
        response = self._post_task(inputs, [other] if other and other_field else fields)
        if other and _is_about_the_garment_field(response):
            raise OtherField(_error_text(response, response.json()))
        return self._accepted(response)

    def _image(self, reference: str) -> str:
        """A URL the provider can open, or raw base64 where it could not open ours."""
        if self._settings.send_urls:
            signed = self._pictures.sign([reference]).get(reference)
            if signed is None:
                raise PictureMissing(reference)
            return signed.url
        is_url = reference.startswith("https://")
        data = self._elsewhere(reference) if is_url else self._pictures.get(reference)
        return base64.b64encode(data).decode()

    def _elsewhere(self, url: str) -> bytes:
        """A garment's picture in another shop."""
        try:
            return self._downloads.get(url, anywhere=True)
        except Never as refusal:
            raise Never("garment_missing", str(refusal)) from None

    def _post_task(self, inputs: Inputs, fields: list[str]) -> Answer:
        body = {self._settings.person_field: inputs.person}
        body |= dict.fromkeys(fields, inputs.garment)
        url = self._settings.base_url + self._settings.submit_path
        try:
            return self._http.ask(
                "POST", url, body=body, headers=self._headers(url), connect=CONNECT_SECONDS,
                seconds=SUBMIT_SECONDS, limit=MAX_ANSWER_BYTES,
            )  # fmt: skip
        except requests.ConnectionError as error:
            if _was_not_sent(error):
                raise Later("the provider could not be reached") from None
            raise Never("provider_uncertain", "connection cut during the submit") from None
        except requests.RequestException as error:
            raise Never("provider_uncertain", f"submit: {type(error).__name__}") from None

    def _other_garment_field(self, fields: list[str]) -> str | None:
        known = [field for field in GARMENT_FIELDS if field not in fields]
        return known[0] if len(known) == 1 else None

    def _accepted(self, response: Answer) -> ProviderTask:
        """The task of an accepted submit; raises what a refusal means."""
        status, body = response.status, response.json()
        if status not in (200, 201, 202):
            raise _refusal(response, body)
        if _kling_code(body):
            raise _kling_refusal(body)
        if task := _legacy_task_id(body):
            return ProviderTask(task, None)
        request_id = next(
            (body[name] for name in ("request_id", "requestId", "id") if body.get(name)), None
        )
        return ProviderTask(_usable_id(request_id), self._status_url(body, str(request_id)))

    def _status_url(self, body: Mapping[str, Any], request_id: str) -> str:
        """The vendor's polling URL where it may be given the key, else our own."""
        url = body.get("polling_url")
        if isinstance(url, str) and len(url) <= MAX_URL and self._may_have_key(url):
            return url
        path = self._settings.status_path.replace("{request_id}", request_id)
        return self._settings.base_url + path

    # -- status --------------------------------------------------------------------------

    def look(self, task: ProviderTask) -> Progress:
        self._pace.wait()
        try:
            response = self._ask(task)
        except requests.RequestException as error:
            raise Later(f"status: {type(error).__name__}") from None
        if response.status == 429:
            self._pace.slow(_retry_after(response) or SLOW_SECONDS)
        body = response.json()
        if not body:  # an HTML challenge or error page says nothing about the task
            raise Later(f"status answered {response.status} without JSON")
        status, text = response.status, _error_text(response, body)
        if status in (401, 402, 403):
            raise _not_taken(f"status answered {text}")
        says_nothing = not _status_word(body) and _result_url(body) is None
        if status == 404 or (says_nothing and "not found" in str(body.get("message")).lower()):
            raise Missing(text)
        if status != 200:
            raise Later(f"status answered {text}", _retry_after(response))
        return _progress(body)

    def _ask(self, task: ProviderTask) -> Answer:
        url = task.status_url or self._settings.base_url + LEGACY_STATUS_PATH
        if not self._may_have_key(url):
            raise Never("provider_failed", "the polling URL is not the provider's")
        legacy = task.status_url is None
        return self._http.ask(
            "POST" if legacy else "GET", url, body={"task_id": task.id} if legacy else None,
            headers=self._headers(url), connect=CONNECT_SECONDS, seconds=LOOK_SECONDS,
            limit=MAX_ANSWER_BYTES,
        )  # fmt: skip

    # -- result --------------------------------------------------------------------------

    def fetch(self, url: str) -> bytes:
        data = self._downloads.get(url)
        try:
            return verify_result(data)
        except Unavailable:
            raise Later("too many pictures wait to be decoded") from None
        except Problem as problem:
            raise Never("result_unusable", f"the result is no picture: {problem}") from None

    # -- the key -------------------------------------------------------------------------

    def _may_have_key(self, url: str) -> bool:
        """Whether a URL is the provider's: https on a listed host, or where the base URL is.

        http is the simulator's alone, on loopback.
        """
        where, base = read_url(url), read_url(self._settings.base_url)
        if where is None or base is None:
            return False
        if where.scheme == "http" and not is_loopback(where.host):
            return False
        if (where.scheme, where.host, where.port) == (base.scheme, base.host, base.port):
            return True
        listed = where.host == base.host or where.host in self._settings.allowed_hosts
        return listed and where.scheme == "https" and where.port == 443

    def _headers(self, url: str) -> dict[str, str]:
        if not self._may_have_key(url):
            raise Never("provider_unavailable", "the key is not sent to an unlisted host")
        return {KEY_HEADER: self._settings.api_key, "Accept": "application/json"}


def _was_not_sent(error: requests.ConnectionError) -> bool:
    """Whether the connection was never made, so that nothing can have been accepted."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _kling_code(body: Mapping[str, Any]) -> int:
    """Kling's service code; 0 where there is none or all is well."""
    code = str(body.get("code"))
    return int(code) if re.fullmatch(r"-?[0-9]{1,9}", code) else 0


def _usable_id(task_id: object) -> str:
    """A task's id as it may stand in a row, a URL and a log; what it is of is paid for."""
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", str(task_id)) or not task_id:
        raise Never("provider_uncertain", "the submit's answer has no usable task id")
    return str(task_id)


def _legacy_task_id(body: Mapping[str, Any]) -> str | None:
    """The `task_id` of the legacy envelope; its `request_id` is only a trace id."""
    data = body.get("data")
    task_id = (data if isinstance(data, dict) else body).get("task_id")
    return _usable_id(task_id) if task_id else None


def _error_text(response: Answer, body: Mapping[str, Any]) -> str:
    """What the provider says of an error, for the log."""
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    text = error or body.get("message") or body.get("detail") or response.reason
    return f"{response.status} {_without_urls(text)!r}"


def _without_urls(text: object) -> str:
    """The vendor's words for the log, short, and without our own signed URLs it may quote."""
    return re.sub(r"https?://\S+", "<URL>", str(text)[:2000])[:200]


def _is_about_the_garment_field(response: Answer) -> bool:
    """Whether a validation error names the garment's field, or no field at all."""
    if response.status not in (400, 422):
        return False
    body = response.json()
    if _kling_code(body) in _POLICY_CODES:
        return False
    text = response.text[:2000]
    about_else = ["not found", "format", "size", "resolution", "pixel", "base64", "balance"]
    if not any(field in text for field in GARMENT_FIELDS):
        about_else.append("human_image")
    return not any(word in text.lower() for word in about_else)


def _refusal(response: Answer, body: Mapping[str, Any]) -> ProviderError:
    """What a submit's answer other than 2xx means."""
    status, text = response.status, _error_text(response, body)
    if status >= 500 and status != 503:  # whatever it says, it may have been accepted
        return Never("provider_uncertain", text)
    if _kling_code(body) in _BILLING_CODES or status == 402 or (status == 403 and body):
        return OutOfMoney(text)
    no_model = body.get("error") == "Model not found"
    if status in (401, 404) or no_model or _kling_code(body) in _ACCOUNT_CODES:
        return _not_taken(text)
    if status in (403, 429, 503):  # 403 without JSON: an edge in front of the API challenges us
        return Later(text, _retry_after(response))
    if status in (400, 413, 422):
        return Never("photo_rejected", text)
    return Never("provider_uncertain", text)


def _kling_refusal(body: Mapping[str, Any]) -> ProviderError:
    """What Kling's service code in an answer with status 200 means."""
    code = _kling_code(body)
    text = f"code {code} {str(body.get('message'))[:200]!r}"
    if code in _BILLING_CODES:
        return OutOfMoney(text)
    if code in (1302, 1303, 5001):
        return Later(text)
    if code in (1200, 1201) or code in _POLICY_CODES:
        return Never("photo_rejected", text)
    if code >= 5000:
        return Never("provider_uncertain", text)
    return _not_taken(text)


def _not_taken(text: str) -> Never:
    """Key, account or address are wrong: nothing an end user can mend."""
    logger.error("ALARM the provider does not take our submits: %s", text)
    return Never("provider_unavailable", text)


def _retry_after(response: Answer) -> float | None:
    """`Retry-After` in seconds, at most two minutes; its date form is not used here."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), 120.0) if value.isascii() and value.isdigit() else None


def _progress(body: Mapping[str, Any]) -> Progress:
    """Read a status of either contract. An unknown word with a picture is done."""
    data = body.get("data")
    inner = data if isinstance(data, dict) else body
    word = _status_word(body)
    url = _result_url(body)
    if word in _FAILED:
        reason = body.get("error") or inner.get("task_status_msg") or body.get("message")
        logger.warning("the provider's task failed: %s %r", word, _without_urls(reason))
        if _is_about_the_picture(body, str(reason)):
            return Progress(failure="photo_rejected")
        return Progress(failure="provider_failed", charged=word != "error")
    if word in _DONE and url is None:
        return Progress(failure="result_unusable")
    if word not in _RUNNING and word not in _DONE:
        logger.warning("the provider's status %r is not known", word[:40])
    return Progress(result_url=url) if word not in _RUNNING else Progress()


def _status_word(body: Mapping[str, Any]) -> str:
    """The status of a task in either contract, "" where there is none."""
    data = body.get("data")
    inner = data if isinstance(data, dict) else body
    words = (body.get("status"), inner.get("status"), inner.get("task_status"))
    return next((str(word).lower() for word in words if word), "")


def _is_about_the_picture(body: Mapping[str, Any], reason: str) -> bool:
    """Whether a task failed for what is in its pictures: the same ones would fail again."""
    words = ("risk control", "policy", "no human", "no person")
    return _kling_code(body) in _POLICY_CODES or any(word in reason.lower() for word in words)


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
