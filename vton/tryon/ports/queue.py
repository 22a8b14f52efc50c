"""What Redis does for a try-on: the queue, what polls are answered from, the circuit breaker."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from vton.tryon.model import SessionState
from vton.tryon.ports.storage import SignedUrl


@dataclass(frozen=True, slots=True)
class TypicalDurations:
    """How long a try-on usually waits in the queue and then runs, in seconds."""

    wait: float
    run: float


@dataclass(frozen=True, slots=True)
class CachedStatus:
    """What is known of a session without the database.

    `state` is None where nothing is known, `result` opens the picture of a success, `thumbnail` a
    small one, and `typical` is None while too few try-ons have ended.
    """

    state: SessionState | None
    deleted: bool
    result: SignedUrl | None
    typical: TypicalDurations | None
    thumbnail: SignedUrl | None = None


class StatusCache(Protocol):
    """What polls are answered from. Never raises: what it does not know, the database does."""

    def find(self, user_id: str, session_id: str) -> CachedStatus:
        """Return what is known of a user's session, in one round trip."""
        ...

    def advance(self, user_id: str, session_id: str, state: SessionState) -> bool:
        """Say what a session has become, unless it is known to have got further.

        Return False where that could not be said.
        """
        ...

    def fill(self, user_id: str, session_id: str, state: SessionState) -> SessionState | None:
        """Say what the database was found to hold, unless as much is known meanwhile.

        Return what is known now: None of a session that was deleted.
        """
        ...

    def mark_deleted(self, user_id: str, session_id: str) -> None:
        """Say that the user has no such session any more."""
        ...

    def extend_ttl(self, sessions: Collection[tuple[str, str]]) -> None:
        """Keep what is known of these, by user and session id, since it is still true."""
        ...

    def record_durations(self, durations: TypicalDurations) -> None:
        """Record how long a try-on waited and ran."""
        ...


class Jobs(Protocol):
    """The queue. Every method raises Unavailable when Redis is away, unless it says otherwise."""

    def enqueue(self, user_id: str, session_id: str) -> None:
        """Have a worker run a new session, and polls find it queued."""
        ...

    def enqueue_again(self, session_id: str) -> None:
        """Have a worker run a session that has lost its run, whatever was left of that.

        It is not cancelled any more, if it was.
        """
        ...

    def cancel(self, session_id: str) -> None:
        """Take the session out of the queue, and tell a worker that runs it to stop."""
        ...

    def exists(self, session_id: str) -> bool:
        """Return whether the session was enqueued, within some minutes."""
        ...

    def cancelled(self, session_id: str) -> bool:
        """Return whether the session was cancelled; False while that cannot be known."""
        ...

    def waiting(self) -> set[str]:
        """Return the ids of the sessions in the queue."""
        ...

    def running(self, session_ids: Sequence[str]) -> set[str]:
        """Return those of the sessions that have a living run."""
        ...

    def expire_orphaned_jobs(self, unfinished: Collection[str]) -> None:
        """Give an end to what a fault left in the queue of sessions that are not `unfinished`."""
        ...

    def try_acquire_leadership(self) -> bool:
        """Return whether this worker is to sweep now: one at a time is, every few seconds.

        False also just after Redis was emptied, until all living runs have reported again.
        """
        ...


class CircuitBreaker(Protocol):
    """Stops submits while the provider says that the account has no money. Never raises."""

    def seconds_until_allowed(self, session_id: str) -> float:
        """Return for how many seconds a submit has to wait, 0 if it may be made now.

        After a pause one caller may submit, as a probe; the others wait for what comes of it. The
        session that tripped the breaker comes last: that may be for something of its own.
        """
        ...

    def tripped(self) -> bool:
        """Return whether no submit was accepted since the last one that tripped the breaker."""
        ...

    def trip(self, session_id: str) -> None:
        """Stop all submits for a while, for what was answered to this session's."""
        ...

    def close(self) -> None:
        """Allow all submits again: one was accepted."""
        ...

    def paused_for(self) -> int:
        """Return for how many seconds nothing will be submitted, 0 if submits are allowed."""
        ...
