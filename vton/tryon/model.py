"""What a try-on is: a session that goes queued → processing → success | failed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vton.errors import CATALOGUE


class Status(StrEnum):
    """The four words of the specification."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether a session with this status will never change again."""
        return self in (Status.SUCCESS, Status.FAILED)


@dataclass(frozen=True, slots=True)
class ProviderTask:
    """A paid task at the provider. `status_url` is None for the legacy contract."""

    id: str
    status_url: str | None


@dataclass(frozen=True, slots=True)
class Garment:
    """What a session shows of its garment. `picture` is an object path or an https URL."""

    id: str
    name: str
    brand: str | None
    category: str | None
    picture: str


@dataclass(frozen=True, slots=True)
class Session:
    """One try-on. `photo` and `result` are object paths in the bucket."""

    id: str
    user_id: str
    garment_id: str | None
    photo: str
    result: str | None
    status: Status
    error_message: str | None
    error_code: str | None
    task: ProviderTask | None
    created_at: datetime
    garment: Garment | None = None

    @property
    def result_path(self) -> str:
        """Where this session's result is stored, once there is one."""
        return result_path(self.user_id, self.id)

    @property
    def look(self) -> "Look":
        """What its row shows of it."""
        queued_at = self.created_at.timestamp()
        return Look(self.status, self.error_code, self.error_message, queued_at)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a session shows.

    `queued_at` is when it was made, `began_at` when its run began, where that is known; both in
    seconds since 1970.
    """

    status: Status
    error_code: str | None = None
    error_message: str | None = None
    queued_at: float | None = None
    began_at: float | None = None


def failed(code: str) -> Look:
    """What shows a session that failed with a code of the catalogue."""
    return Look(Status.FAILED, code, CATALOGUE[code].message)


def result_path(user_id: str, session_id: str) -> str:
    """Where a session's result is stored, once there is one."""
    return f"try-on-results/{user_id}/{session_id}_result.png"


def photo_path(user_id: str, timestamp_ms: int) -> str:
    """Where a photo that `user_id` uploaded at `timestamp_ms` (milliseconds) is stored."""
    return f"user-uploads/{user_id}/{timestamp_ms}_original.jpg"
