"""What a try-on is: a session that goes queued → processing → success | failed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vton.errors import CATALOGUE, SESSION_FAILURES


class Status(StrEnum):
    """The four words of the specification."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether a session with this status will never change again."""
        return self in ENDED


ENDED = (Status.SUCCESS, Status.FAILED)
UNFINISHED = (Status.QUEUED, Status.PROCESSING)


@dataclass(frozen=True, slots=True)
class ProviderTask:
    """A paid task. `provider` has it; `status_url` is where they said to ask, if they said so."""

    provider: str
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
    """One try-on. `photo` and `result` are object paths in the bucket.

    `task` is there only for the run that has claimed the session. A row from before this service
    may have no photo, or a URL elsewhere in place of a path.
    """

    id: str
    user_id: str
    garment_id: str | None
    photo: str | None
    result: str | None
    status: Status
    error_message: str | None
    error_code: str | None
    created_at: datetime
    garment: Garment | None = None
    task: ProviderTask | None = None

    @property
    def result_path(self) -> str:
        """The path under which this session's result is stored."""
        return result_path(self.user_id, self.id)

    @property
    def state(self) -> "SessionState":
        """How far it has got, as its row tells."""
        queued_at = self.created_at.timestamp()
        return SessionState(self.status, self.error_code, queued_at)


@dataclass(frozen=True, slots=True)
class Failure:
    """What the code of a failed session means to a program, and to its user, in English."""

    code: str
    message: str
    hint: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class SessionState:
    """How far a session has got, which is what a poll answers.

    `queued_at` is when it was made, `began_at` when its run began, where that is known; both in
    seconds since 1970.
    """

    status: Status
    error_code: str | None = None
    queued_at: float | None = None
    began_at: float | None = None

    @property
    def failure(self) -> Failure | None:
        """Why it failed, None unless it did. A code of another release reads as a common one."""
        if self.error_code is None:
            return None
        code = self.error_code if self.error_code in SESSION_FAILURES else "provider_failed"
        spec = CATALOGUE[code]
        return Failure(code, spec.message, spec.hint, spec.retryable)


def thumbnail_path(picture: str) -> str:
    """Return the path of the small picture that lies beside a result or a garment's picture."""
    return f"{picture.removesuffix('.png')}_thumbnail.webp"


def own_pictures(session: Session) -> list[str]:
    """Return what a session's row names and its user may be shown.

    Rows from before this service may name whatever was written there: of the bucket, only what lies
    under the user's own id is ever signed or removed.
    """
    folders = f"user-uploads/{session.user_id}/", f"try-on-results/{session.user_id}/"
    named = [path for path in (session.photo, session.result) if path]
    return [path for path in named if path.startswith((*folders, "https://"))]


def own_photo(session: Session) -> str | None:
    """Return the path of a photo of the session's that can be tried on again, None without one.

    One that the provider refused is about to be removed.
    """
    photo, refused = session.photo, session.error_code == "photo_rejected"
    mine = photo is not None and photo.startswith(f"user-uploads/{session.user_id}/")
    return photo if mine and not refused else None


def failed(code: str) -> SessionState:
    """Return the state of a session that failed with a code of the catalogue."""
    return SessionState(Status.FAILED, code)


def result_path(user_id: str, session_id: str) -> str:
    """Return the path under which a session's result is stored."""
    return f"try-on-results/{user_id}/{session_id}_result.png"


def photo_path(user_id: str, timestamp_ms: int) -> str:
    """Return the path of a photo that `user_id` uploaded at `timestamp_ms` (milliseconds)."""
    return f"user-uploads/{user_id}/{timestamp_ms}_original.jpg"
