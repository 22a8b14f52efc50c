"""The Pixazo Kolors Virtual Try-On API: two contracts behind one submit path.

Which of them it is (see `replies`), the submit's answer tells. A submit is paid and has no
idempotency key, so it is never repeated unless it was provably not accepted.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import requests

from vton import metrics
from vton.adapters.http.client import Answer, HttpClient, was_not_sent, what_failed
from vton.adapters.http.download import Downloads, is_loopback, read_url
from vton.adapters.pixazo import replies
from vton.adapters.pixazo.throttle import Throttle
from vton.errors import Problem, Unavailable
from vton.imaging.photos import PictureConverter
from vton.tryon.model import ProviderTask
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PermanentError,
    Progress,
    ResultLapsed,
    RetryableError,
)
from vton.tryon.ports.storage import PictureMissing, Pictures

NAME = "pixazo"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
LEGACY_STATUS_PATH = "/kling-ai-polling/v1/getVirtualTryOnStatus"
MAX_URL = 2000
CONNECT_SECONDS = 5.0
SUBMIT_SECONDS = 20.0
"""How long a submit may last as a whole; claims count on it (`submitter.CLAIM_SECONDS`)."""
POLL_SECONDS = 15.0
MAX_ANSWER_BYTES = 1024 * 1024
_STATUSES = frozenset(HTTPStatus)
"""What is counted by itself: each number that somebody makes up would be a series of its own."""
SLOW_SECONDS = 5.0
"""How long all polls pause after a 429 that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixazoSettings:
    """Where the API is and what it is sent; see `.env.example`."""

    api_key: str = field(repr=False)
    base_url: str
    submit_path: str
    status_path: str
    person_field: str
    garment_field: str
    send_urls: bool
    allowed_hosts: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Pixazo:
    """Implements `vton.tryon.ports.provider.Provider`. Safe to share between threads."""

    settings: PixazoSettings
    pictures: Pictures
    converter: PictureConverter
    throttle: Throttle
    downloads: Downloads
    http: HttpClient
    name: str = NAME
    _accepted: list[str] = field(default_factory=list)
    """The form of the request that was accepted last."""

    # -- submit --------------------------------------------------------------------------

    def prepare(self, person: str, garment: str) -> Inputs:
        return Inputs(self._image(person), self._image(garment))

    def submit(self, inputs: Inputs) -> ProviderTask:
        forms = self._forms(inputs)
        answer = self._post_task(inputs, forms[0].split(","))
        if forms[1:] and replies.is_about_the_garment_field(answer):
            raise FormRefused(replies.error_text(answer), replace(inputs, forms=forms[1:]))
        task_id, polling_url, legacy = replies.read_submit(answer)
        self._accepted[:] = forms[:1]
        status_url = None if legacy else self._status_url(polling_url, task_id)
        return ProviderTask(self.name, task_id, status_url)

    def _forms(self, inputs: Inputs) -> Sequence[str]:
        """Return the names of the garment's field that are to be tried, one after the other.

        Once a form was accepted there is no other: what is refused then is refused for another
        reason, and would be refused twice.
        """
        return inputs.forms or self._accepted or garment_forms(self.settings.garment_field)

    def _image(self, reference: str) -> str:
        """Return a URL the provider can open, or raw base64 where it could not open ours."""
        if self.settings.send_urls:
            signed = self.pictures.sign([reference]).get(reference)
            if signed is None:
                raise PictureMissing(reference)
            return signed.url
        is_url = reference.startswith("https://")
        data = self._elsewhere(reference) if is_url else self.pictures.get(reference)
        return base64.b64encode(data).decode()

    def _elsewhere(self, url: str) -> bytes:
        """Return a garment's picture in another shop."""
        try:
            return self.downloads.get(url, anywhere=True)
        except (PermanentError, ResultLapsed) as refusal:
            raise PermanentError("garment_missing", str(refusal)) from None

    def _post_task(self, inputs: Inputs, garment_fields: Sequence[str]) -> Answer:
        body = {self.settings.person_field: inputs.person}
        body |= dict.fromkeys(garment_fields, inputs.garment)
        url = self.settings.base_url + self.settings.submit_path
        try:
            return self._ask(
                "submit", "POST", url, body=body, headers=self._headers(url), seconds=SUBMIT_SECONDS
            )  # fmt: skip
        except requests.RequestException as error:
            if was_not_sent(error):
                raise RetryableError("the provider could not be reached") from None
            raise PermanentError("provider_uncertain", f"submit: {what_failed(error)}") from None

    def _status_url(self, polling_url: str | None, task_id: str) -> str:
        """Return the vendor's polling URL where it may be given the key, else our own."""
        if polling_url and len(polling_url) <= MAX_URL and self._is_trusted_host(polling_url):
            return polling_url
        path = self.settings.status_path.replace("{request_id}", task_id)
        return self.settings.base_url + path

    # -- status and result ---------------------------------------------------------------

    def refuses_key(self) -> bool:
        """Return whether the provider refuses our key: ask of a task that is not there, for free.

        Raises RetryableError where that cannot be known now.
        """
        task_id = f"doctor-{uuid4().hex}"
        task = ProviderTask(self.name, task_id, self._status_url(None, task_id))
        try:
            return replies.refuses_key(self._ask_status(task))
        except requests.RequestException as error:
            raise RetryableError(what_failed(error)) from None

    @property
    def accepted_form(self) -> str:
        """The names of the garment's field in the request that was accepted last, if one was."""
        return self._accepted[0] if self._accepted else ""

    def poll(self, task: ProviderTask) -> Progress:
        self.throttle.wait()
        try:
            answer = self._ask_status(task)
        except requests.RequestException as error:
            raise RetryableError(f"status: {what_failed(error)}") from None
        if answer.status == 429:
            self.throttle.slow_down(replies.retry_after(answer) or SLOW_SECONDS)
        return replies.read_status(answer, task.id)

    def _ask_status(self, task: ProviderTask) -> Answer:
        """Ask where v2 said to, or, for a legacy task, which has no such URL, by its id."""
        url = task.status_url or self.settings.base_url + LEGACY_STATUS_PATH
        if not self._is_trusted_host(url):
            raise PermanentError("provider_failed", "the polling URL is not the provider's")
        legacy = task.status_url is None
        return self._ask(
            "status", "POST" if legacy else "GET", url, headers=self._headers(url),
            body={"task_id": task.id} if legacy else None, seconds=POLL_SECONDS,
        )  # fmt: skip

    def download_result(self, url: str) -> bytes:
        began, ended = time.monotonic(), "failed"
        try:
            data = self.downloads.get(url)
            ended = "200"
        finally:
            metrics.PROVIDER_SECONDS.labels("result", ended).observe(time.monotonic() - began)
        try:
            return self.converter.verify_result(data)
        except Unavailable:
            raise RetryableError("too many pictures wait to be decoded") from None
        except Problem as problem:
            raise PermanentError(
                "result_unusable", f"the result is no picture: {problem}"
            ) from None

    def _ask(self, call: str, method: str, url: str, **options: Any) -> Answer:
        """Ask the provider, and count how long that took and how it ended."""
        began, ended = time.monotonic(), "failed"
        try:
            answer = self.http.ask(
                method, url, connect=CONNECT_SECONDS, limit=MAX_ANSWER_BYTES, **options
            )
            ended = str(answer.status) if answer.status in _STATUSES else "other"
        finally:
            seconds = time.monotonic() - began
            metrics.PROVIDER_SECONDS.labels(call, ended).observe(seconds)
        return answer

    # -- the key -------------------------------------------------------------------------

    def _is_trusted_host(self, url: str) -> bool:
        """Whether the key may be sent there: https on a listed host, or where the base URL is.

        http is the simulator's alone, on loopback.
        """
        where, base = read_url(url), read_url(self.settings.base_url)
        if where is None or base is None:
            return False
        if where.scheme == "http" and not is_loopback(where.host):
            return False
        if (where.scheme, where.host, where.port) == (base.scheme, base.host, base.port):
            return True
        listed = where.host == base.host or where.host in self.settings.allowed_hosts
        return listed and where.scheme == "https" and where.port == 443

    def _headers(self, url: str) -> dict[str, str]:
        if not self._is_trusted_host(url):
            raise PermanentError("provider_unavailable", "the key is not sent to an unlisted host")
        return {KEY_HEADER: self.settings.api_key, "Accept": "application/json"}


def garment_forms(configured: str) -> list[str]:
    """Return what the garment's field is called: the configured name, and the vendor's other one.

    Where nothing is configured both are sent together, which serves a gateway that knows either,
    and then each alone. Names that are sent together are separated by commas.
    """
    if not configured:
        return [",".join(replies.GARMENT_FIELDS), *replies.GARMENT_FIELDS]
    others = [name for name in replies.GARMENT_FIELDS if name not in configured.split(",")]
    return [configured, *others] if len(others) == 1 else [configured]
