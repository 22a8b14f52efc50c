"""What the operator's side needs of the world outside; the adapters provide it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from vton.operations.model import DatabaseOverview, Facts, QueueOverview
from vton.tryon.ports.pauses import Pauses as CurrentPause


class Pauses(CurrentPause, Protocol):
    """Begins and ends pauses. Methods raise Unavailable."""

    def begin(self, until: datetime | None, message: str | None) -> None:
        """Take no new try-ons."""
        ...

    def end(self) -> bool:
        """Take them again. Return whether there was a pause."""
        ...


class Records(Protocol):
    """The database, as the operator asks it. Methods raise Unavailable."""

    def overview(self) -> DatabaseOverview:
        """Return how it is going."""
        ...

    def stats(self, days: int) -> Facts:
        """Return the figures of the last so many days, today among them."""
        ...

    def timeline(self, session_id: str) -> Facts:
        """Return all that is known of a session: row, log, task, submits and objects."""
        ...

    def sessions(
        self, since: datetime, user_id: str | None, *, failed: bool, limit: int
    ) -> Sequence[Facts]:
        """Return what is logged of sessions that were accepted since a time, newest first."""
        ...

    def sessions_of(self, user_id: str) -> Sequence[str]:
        """Return the ids of all of a user's sessions."""
        ...

    def objects_of(self, user_id: str) -> Sequence[str]:
        """Return the paths of all objects in a user's folders."""
        ...

    def forget_user(self, user_id: str) -> None:
        """Take a user's id out of the ledger and the log, and delete their idempotency keys."""
        ...

    def delete_account(self, user_id: str) -> bool:
        """Delete a user's account in Supabase Auth. Return whether there was one."""
        ...

    def stray_objects(self) -> Sequence[Facts]:
        """Return objects that no row names: `path`, `bytes`, `created_at`."""
        ...

    def missing_objects(self) -> Sequence[Facts]:
        """Return rows that name an object which is not there: `what`, `id`, `path`."""
        ...

    def faults(self) -> Sequence[str]:
        """Return what of the migrations is not in force, a sentence each."""
        ...


class Queue(Protocol):
    """Redis, as the operator asks it. Methods raise Unavailable."""

    def overview(self) -> QueueOverview:
        """Return what Redis holds."""
        ...


class GarmentRemoval(Protocol):
    """The rows of `garments`, to be removed. Methods raise Unavailable."""

    def remove(self, ids: Collection[str]) -> Sequence[str]:
        """Delete garments. Return the pictures that no other garment has."""
        ...
