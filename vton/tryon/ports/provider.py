"""Who makes the picture, and how a call to them can end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vton.tryon.model import ProviderTask


@dataclass(frozen=True, slots=True)
class Progress:
    """What the provider says of a task: still running, done with a URL, or failed.

    `failure` is a code of the catalogue. `charged` is False where the provider documents that a
    failure costs nothing.
    """

    result_url: str | None = None
    failure: str | None = None
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Inputs:
    """Photo and garment as the provider takes them.

    `forms` is the adapter's own: in which forms the request is still to be tried.
    """

    person: str
    garment: str
    forms: Sequence[str] = ()


class ProviderError(Exception):
    """A call to the provider did not work. Its text is for the log and never for a client."""


class RetryableError(ProviderError):
    """The call may work later; after `retry_after` seconds, where the provider says so."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PermanentError(ProviderError):
    """The call will not work however often it is repeated; `code` is one of the catalogue."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class FormRefused(ProviderError):
    """The form of the request was refused; `alternative` is the next one to try."""

    def __init__(self, detail: str, alternative: Inputs) -> None:
        super().__init__(detail)
        self.alternative = alternative


class PaymentRequired(ProviderError):
    """The account has no money, or is not in order."""


class ResultLapsed(ProviderError):
    """A result's address opens nothing any more; the task's status may have a fresh one."""


class TaskNotFound(ProviderError):
    """The provider does not know the task (yet, shortly after the submit)."""


class Provider(Protocol):
    """Who makes the picture. Raises a ProviderError where a call does not work."""

    @property
    def name(self) -> str:
        """What the ledger and the tasks call this provider."""
        ...

    def prepare(self, person: str, garment: str) -> Inputs:
        """Return photo and garment, object paths or https URLs, as the provider takes them.

        Raises PictureMissing, Unavailable.
        """
        ...

    def submit(self, inputs: Inputs) -> ProviderTask:
        """Order a picture (a paid call) and return its task. Raises

        - RetryableError, when the call was provably not accepted and may be repeated;
        - FormRefused, when another form of the request may be accepted;
        - PaymentRequired, when it was refused for want of money;
        - PermanentError, with `provider_uncertain` when it may have been accepted.
        """
        ...

    def poll(self, task: ProviderTask) -> Progress:
        """Ask how a task is getting on. Raises RetryableError, TaskNotFound, PermanentError."""
        ...

    def download_result(self, url: str) -> bytes:
        """Download a result, in bounds, and return it as a marked PNG.

        Raises RetryableError, ResultLapsed, PermanentError.
        """
        ...
