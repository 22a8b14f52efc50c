"""What a try-on needs of the world outside; the adapters provide it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from vton.tryon.model import Look, ProviderTask, Session, Status


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What the sweep has to know of a session that is queued or processing."""

    id: str
    user_id: str
    status: Status
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a user starts. `key` is what their client sent so that it can repeat the request;
    `fingerprint` tells whether a repeated request is the same one.
    """

    id: str
    user_id: str
    garment_id: str
    photo: str
    key: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be started; 0 switches a limit off."""

    unfinished_per_user: int
    per_day_per_user: int
    waiting: int
    paid_per_day: int


class Admission(StrEnum):
    """What came of a new session: see `create_session` in the migrations."""

    CREATED = "created"
    REPLAY = "replay"
    MISMATCH = "mismatch"
    BUSY = "busy"
    UNFINISHED = "unfinished"
    QUOTA = "quota"
    PAID_CAP = "paid_cap"


class TicketAnswer(StrEnum):
    """What asking for a ticket answers: see `take_ticket` in the migrations."""

    TAKEN = "taken"
    HELD = "held"
    TASK = "task"
    CAPPED = "capped"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The answer, and for how many seconds the ticket has been out."""

    answer: TicketAnswer
    age: float


class Outcome(StrEnum):
    """What became of a submit."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One object that must go. `again`: it was removed once, and is now for the last time."""

    id: int
    path: str
    again: bool


class Sessions(Protocol):
    """The rows of `try_on_history`. Every method raises Unavailable when the database is away."""

    def create(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None]:
        """Insert a queued session, if it is within the limits.

        Returns what came of it, and the id of the session: the new one, or the one that the
        key has started before. Raises UnknownGarment, UnknownUser (a deleted account), or
        NameTaken where another session has a photo of that name.
        """
        ...

    def undo(self, session_id: str) -> None:
        """Delete a session that was begun and could not be taken, with its key."""
        ...

    def delete_keys(self, before: datetime) -> None:
        """Forget the keys that clients sent before a time."""
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

    def succeed(self, session_id: str, result: str) -> bool:
        """End an unfinished session with its result; False if there was none."""
        ...

    def fail(self, session_id: str, code: str) -> bool:
        """End an unfinished session with a code of the catalogue; False if there was none."""
        ...

    def status(self, session_id: str) -> Status | None:
        """Return a session's status, None where its row is gone."""
        ...

    def task(self, session_id: str) -> ProviderTask | None:
        """Return the paid task of a session that is processing."""
        ...

    def unfinished(self) -> Iterator[Unfinished]:
        """Go through all sessions that are queued or processing, oldest first."""
        ...

    def delete_ended(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` ended sessions made before a time; how many there were."""
        ...


class Books(Protocol):
    """Every submit, and who may make one. Methods raise Unavailable."""

    def take_ticket(self, session_id: str, attempt: str, paid_cap: int) -> Ticket:
        """Ask to submit a session once, in the name of `attempt` (a UUID of the run's own).

        Asking again answers the same. `paid_cap` is the day's cap of paid calls, 0 for none.
        """
        ...

    def settle(self, attempt: str, outcome: Outcome, task: ProviderTask | None = None) -> None:
        """Write down what became of an attempt; its session gets the task of an accepted one."""
        ...

    def forgive_error(self, session_id: str, task_id: str) -> bool:
        """Note that a task was not charged; True, once, if the session may submit again."""
        ...

    def doubt_open(self, before: datetime) -> None:
        """Call attempts from before a time uncertain that nobody has settled."""
        ...


class Erasures(Protocol):
    """Objects that must go, because their row went. Methods raise Unavailable."""

    def due(self, made_before: datetime, limit: int) -> list[Erasure]:
        """Return those not erased yet, and those made before a time, to be erased once more."""
        ...

    def mark_erased(self, ids: Collection[int]) -> None:
        """Note that the objects were removed for the first time."""
        ...

    def forget(self, ids: Collection[int]) -> None:
        """Delete the entries: their objects are gone for good."""
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


@dataclass(frozen=True, slots=True)
class Typical:
    """How long a try-on usually waits in the queue, and then runs, in seconds."""

    wait: float
    run: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a session without the database, as far as it is.

    `result` opens the picture of a success; `typical` is None while too few have ended.
    """

    look: Look | None
    deleted: bool
    result: SignedUrl | None
    typical: Typical | None


class Statuses(Protocol):
    """What polls are answered from. Never raises: what it does not know the database does."""

    def find(self, user_id: str, session_id: str) -> Kept:
        """Return what is known of a user's session, in one round trip."""
        ...

    def put(self, user_id: str, session_id: str, look: Look) -> None:
        """Say what a session has become, unless it is known to have gone further."""
        ...

    def fill(self, user_id: str, session_id: str, look: Look) -> None:
        """Say what was found in the database, unless something is known meanwhile."""
        ...

    def mark_deleted(self, user_id: str, session_id: str) -> None:
        """Say that there is no such session of the user's any more."""
        ...

    def prolong(self, sessions: Collection[tuple[str, str]]) -> None:
        """Keep what is known of these, by user and session, for it is still true."""
        ...

    def record(self, durations: Typical) -> None:
        """Note how long a try-on has waited and run."""
        ...


class Jobs(Protocol):
    """The queue. Every method raises Unavailable when Redis is away, unless it says otherwise."""

    def enqueue(self, user_id: str, session_id: str) -> None:
        """Have a worker run a new session, and polls find it queued."""
        ...

    def enqueue_again(self, session_id: str) -> None:
        """Have a worker run a session that has lost its run, whatever was left of that."""
        ...

    def cancel(self, session_id: str) -> None:
        """Take the session out of the queue, and tell a worker that runs it to stop."""
        ...

    def known(self, session_id: str) -> bool:
        """Whether the session was enqueued, some minutes ago at most."""
        ...

    def cancelled(self, session_id: str) -> bool:
        """Whether the session was cancelled; False while that cannot be known."""
        ...

    def waiting(self) -> set[str]:
        """Return the ids of the sessions in the queue."""
        ...

    def running(self, session_ids: Sequence[str]) -> set[str]:
        """Return those of the sessions that a living run has."""
        ...

    def tidy(self, unfinished: Collection[str]) -> None:
        """Have the queue forget, in a while, what a fault has left of ended sessions."""
        ...

    def lead(self) -> bool:
        """Whether this worker is to sweep now; one of all of them is, at most every few seconds.

        False also when Redis has just been emptied: what runs has yet to say so again.
        """
        ...


class Breaker(Protocol):
    """Stops submits while the provider says that the account has no money. Never raises."""

    def hold(self) -> float:
        """Return for how many seconds a submit has to wait, 0 to go ahead.

        After a pause one caller goes ahead to see whether all is well; the others wait for it.
        """
        ...

    def trip(self) -> None:
        """Stop all submits for a while."""
        ...

    def close(self) -> None:
        """Let all submits go ahead: one was accepted."""
        ...

    def paused_for(self) -> int:
        """Return for how many seconds nothing will be submitted, 0 if submits go ahead."""
        ...


class Waiting(Protocol):
    """How a job waits: until the time is over or the process is asked to end."""

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`; True at once when the process is asked to end."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What the provider says of a task: still running, done with a URL, or failed.

    `charged` is False where the provider documents that a failure costs nothing.
    """

    result_url: str | None = None
    failure: str | None = None
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Inputs:
    """Photo and garment as the provider takes them: an https URL or raw base64 each."""

    person: str
    garment: str


class Provider(Protocol):
    """Who makes the picture. Raises a ProviderError where a call does not work."""

    def prepare(self, person: str, garment: str) -> Inputs:
        """Return photo and garment, object paths or https URLs, as the provider takes them.

        Raises PictureMissing, Unavailable.
        """
        ...

    def submit(self, inputs: Inputs, *, other_field: bool) -> ProviderTask:
        """Order a picture (a paid call) and return its task.

        `other_field` gives the garment's field its other name. Raises

        - Later, when the call was provably not accepted and may be repeated;
        - OtherField, when it was refused for the name of the garment's field;
        - OutOfMoney, when it was refused for want of money;
        - Never, with `provider_uncertain` when it may have been accepted.
        """
        ...

    def look(self, task: ProviderTask) -> Progress:
        """Ask how a task is getting on. Raises Later, Missing, Never."""
        ...

    def fetch(self, url: str) -> bytes:
        """Download a result, in bounds, and return it as a marked PNG. Raises Later, Never."""
        ...


class ProviderError(Exception):
    """A call to the provider did not work. Its text is for the log and never for a client."""


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


class OtherField(ProviderError):
    """The provider calls the garment's field by its other name."""


class OutOfMoney(ProviderError):
    """The account has no money, or is not in order."""


class Missing(ProviderError):
    """The provider does not know the task (yet, shortly after the submit)."""


class UnknownGarment(Exception):
    """There is no garment of that id."""


class UnknownUser(Exception):
    """The account behind the token no longer exists."""


class NameTaken(Exception):
    """An object of that name is there already."""


class PictureMissing(Exception):
    """There is no object of that name."""
