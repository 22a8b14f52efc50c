"""The rows: sessions, the ledger of submits, and what has to be erased."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from vton.tryon.model import ProviderTask, Session, Status
from vton.tryon.ports.photos import ResultKind


@dataclass(frozen=True, slots=True)
class UnfinishedSession:
    """What the sweep has to know of a session that is queued or processing."""

    id: str
    user_id: str
    status: Status
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a user starts.

    `idempotency_key` is what their client sent so that it can repeat the request, `fingerprint`
    tells whether a repeated request is the same one.
    """

    id: str
    user_id: str
    garment_id: str
    photo: str
    idempotency_key: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How many sessions there may be; 0 switches a limit off."""

    unfinished_per_user: int
    per_day_per_user: int
    waiting: int
    paid_per_day: int


class Admission(StrEnum):
    """What became of a new session: see `create_session` in the migrations."""

    CREATED = "created"
    REPLAY = "replay"
    MISMATCH = "mismatch"
    BUSY = "busy"
    UNFINISHED = "unfinished"
    QUOTA = "quota"
    PAID_CAP = "paid_cap"


class ClaimResult(StrEnum):
    """What became of a claim to submit: see `claim_submit` in the migrations."""

    CLAIMED = "claimed"
    HELD = "held"
    TASK = "task"
    CAPPED = "capped"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Claim:
    """The result, and for how many seconds the session's claim has existed."""

    result: ClaimResult
    age: float


class Outcome(StrEnum):
    """What became of a submit."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    REFUSED = "refused"
    """Not accepted because of what the picture shows."""
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One object that must go. With `final` it was removed before, and is now for the last time."""

    id: int
    path: str
    final: bool


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A session whose photo can be tried on again.

    `photo` is its object's path, `fingerprint` that of the request that sent it, where that is
    still known. `normalised` is whether this service is known to have stored it: the photo of a
    row from before may be anything.
    """

    photo: str
    garment_id: str | None
    fingerprint: str | None
    normalised: bool


class UnknownGarment(Exception):
    """There is no garment of that id."""


class UnknownUser(Exception):
    """The account behind the token no longer exists."""


class Sessions(Protocol):
    """The rows of `try_on_history`. Every method raises Unavailable when the database is away."""

    def create(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None]:
        """Insert a queued session if that is within the limits.

        Return what became of it, and the id of the session: the new one, or the one that the
        idempotency key started before. Raises UnknownGarment, UnknownUser (a deleted account),
        and NameTaken where another session has a photo of that name.
        """
        ...

    def check(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None] | None:
        """Return why `create` would not insert this session now, as it says so; None if it would.

        Raises UnknownGarment.
        """
        ...

    def undo(self, session_id: str) -> bool:
        """Delete a session that was begun and could not be accepted, with its idempotency key.

        False, and nothing is done, if it was submitted: it may be paid for.
        """
        ...

    def delete_idempotency_keys(self, before: datetime) -> None:
        """Delete the keys that clients sent before a time."""
        ...

    def delete_log(self, before: datetime) -> None:
        """Delete what is logged of sessions that were accepted before a time."""
        ...

    def find(self, session_id: str, user_id: str) -> Session | None:
        """Return the user's session, or None where they have none of that id."""
        ...

    def photo_source(self, session_id: str, user_id: str) -> PhotoSource | None:
        """Return what is to be known of the user's session to try its photo on again.

        None where they have none of that id, or its photo is of no use.
        """
        ...

    def history(
        self,
        user_id: str,
        statuses: Collection[Status],
        limit: int,
        before: tuple[datetime, str] | None,
    ) -> list[Session]:
        """Return the user's sessions of those statuses with their garments, newest first.

        `before` is the creation time and id of the last one already listed.
        """
        ...

    def delete(self, session_id: str, user_id: str) -> Session | None:
        """Delete the user's session and return what it was, or None where there was none."""
        ...

    def claim(self, session_id: str) -> Session | None:
        """Make a session `processing` and return it, with its provider task if it has one.

        Return None when it has ended or is gone.
        """
        ...

    def succeed(self, session_id: str, result: str, looks: int = 0) -> bool:
        """End an unfinished session with its result. Return whether there was one.

        `looks` is how often its run has asked the provider, for the log of sessions.
        """
        ...

    def fail(self, session_id: str, code: str, looks: int = 0) -> bool:
        """End an unfinished session with a code of the catalogue. Return whether there was one."""
        ...

    def status(self, session_id: str) -> Status | None:
        """Return a session's status, None where its row is gone."""
        ...

    def task(self, session_id: str) -> ProviderTask | None:
        """Return a session's task at the provider, None where it has none."""
        ...

    def unfinished(self) -> Iterator[UnfinishedSession]:
        """Go through all sessions that are queued or processing, oldest first."""
        ...

    def delete_ended(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` ended sessions made before a time. Return how many there were."""
        ...


class SubmitLedger(Protocol):
    """Every submit to the provider, and who may make one. Methods raise Unavailable."""

    def claim_submit(self, session_id: str, attempt: str, paid_cap: int) -> Claim:
        """Claim the right to submit a session once, in the name of `attempt` (a fresh UUID).

        Asking again with the same attempt answers the same. `paid_cap` is how many paid calls
        there may be on one day, 0 for any number.
        """
        ...

    def record_outcome(
        self, attempt: str, outcome: Outcome, task: ProviderTask | None = None
    ) -> None:
        """Record what became of an attempt; its session gets the task of an accepted one."""
        ...

    def allow_one_resubmit(self, session_id: str, task_id: str) -> bool:
        """Record that a task was not charged. Return whether its session may submit once more."""
        ...

    def record_result_kind(self, session_id: str, task_id: str, kind: ResultKind) -> None:
        """Record what the result of an accepted submit was found to be."""
        ...

    def mark_stale_uncertain(self, before: datetime) -> None:
        """Record as uncertain what was claimed before a time and has no outcome yet."""
        ...


class Erasures(Protocol):
    """Objects that must go, because their row went. Methods raise Unavailable."""

    def due(self, made_before: datetime, limit: int) -> list[Erasure]:
        """Return those never removed yet, and those from before a time, to be removed again."""
        ...

    def mark_erased(self, ids: Collection[int]) -> None:
        """Record that the objects were removed for the first time."""
        ...

    def forget(self, ids: Collection[int]) -> None:
        """Delete the entries: their objects are gone for good."""
        ...
