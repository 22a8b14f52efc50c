"""What a try-on needs of the world outside; the adapters provide it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vton.tryon.model import ProviderTask, Session


class Sessions(Protocol):
    """The rows of `try_on_history`. Every method raises Unavailable when the database is away."""

    def create(self, session_id: str, user_id: str, garment_id: str, photo: str) -> None:
        """Insert a queued session.

        Raises UnknownGarment, UnknownUser (a deleted account), or NameTaken where another
        session has a photo of that name.
        """
        ...

    def find(self, session_id: str, user_id: str) -> Session | None:
        """Return the user's session, or None where they have none of that id."""
        ...

    def history(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None
    ) -> list[Session]:
        """Return the user's ended sessions with their garments, newest first.

        `before` is the creation time and id of the last one already seen.
        """
        ...

    def delete(self, session_id: str, user_id: str) -> Session | None:
        """Delete the user's session and return what it was, or None."""
        ...

    def claim(self, session_id: str) -> Session | None:
        """Make a queued session `processing`; None when it has ended or is gone."""
        ...

    def keep_task(self, session_id: str, task: ProviderTask) -> None:
        """Store the paid task of a session that has none yet."""
        ...

    def succeed(self, session_id: str, result: str) -> bool:
        """End an unfinished session with its result; False if there was none."""
        ...

    def fail(self, session_id: str, code: str) -> bool:
        """End an unfinished session with a code of the catalogue; False if there was none."""
        ...

    def exists(self, session_id: str) -> bool:
        """Whether the session's row is still there."""
        ...


class Pictures(Protocol):
    """The private bucket. Every method raises Unavailable when the storage is away."""

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        """Store an object. Raises NameTaken if it is there and must not be replaced."""
        ...

    def get(self, path: str) -> bytes:
        """Return an object's bytes. Raises PictureMissing."""
        ...

    def remove(self, paths: Collection[str]) -> None:
        """Remove the objects that are there, and what was signed for them."""
        ...

    def sign(self, paths: Collection[str]) -> Mapping[str, "SignedUrl"]:
        """Return a URL, good for an hour or nearly so, for each object that is there."""
        ...


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that opens a private object until `expires_at`."""

    url: str
    expires_at: datetime


class Jobs(Protocol):
    """The queue. Every method raises Unavailable when Redis is away."""

    def enqueue(self, session_id: str) -> None:
        """Have a worker run the session."""
        ...

    def cancel(self, session_id: str) -> None:
        """Take the session out of the queue, and tell a worker that runs it to stop."""
        ...

    def cancelled(self, session_id: str) -> bool:
        """Whether the session was cancelled; False while that cannot be known."""
        ...


class Waiting(Protocol):
    """How a job waits: until the time is over or the process is asked to end."""

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`; True at once when the process is asked to end."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What the provider says of a task: still running, done with a URL, or failed."""

    result_url: str | None = None
    failure: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the provider will say nothing new."""
        return self.result_url is not None or self.failure is not None


class Provider(Protocol):
    """Who makes the picture. Raises Later or Never, and nothing else."""

    def submit(self, person: str, garment: str) -> ProviderTask:
        """Give the provider a photo and a garment (a paid call) and return its task.

        Each is an object path in the bucket or an https URL. Raises Later only when the call
        was provably not accepted; Never with `provider_uncertain` when that is not known.
        """
        ...

    def look(self, task: ProviderTask) -> Progress:
        """Ask how a task is getting on."""
        ...

    def fetch(self, url: str) -> bytes:
        """Download a result, in bounds, and return it as a PNG."""
        ...


class ProviderError(Exception):
    """A call to the provider did not work. `detail` is for the log and never for a client."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class Later(ProviderError):
    """The same call may work later; `retry_after` in seconds where the provider says so."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Never(ProviderError):
    """The call will not work, whenever it is repeated; `code` is one of the catalogue."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class UnknownGarment(Exception):
    """There is no garment of that id."""


class UnknownUser(Exception):
    """The account behind the token no longer exists."""


class NameTaken(Exception):
    """An object of that name is there already."""


class PictureMissing(Exception):
    """There is no object of that name."""
