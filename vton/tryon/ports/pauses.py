"""Whether the operator lets new try-ons begin."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pause:
    """No new try-on is taken: until a time, or until the operator resumes."""

    since: datetime
    until: datetime | None
    message: str | None
    """What shoppers are told, in the operator's own words."""


class Pauses(Protocol):
    """Says whether there is a pause. Raises Unavailable when the database is away."""

    def current(self) -> Pause | None:
        """Return the pause that there is, as was found a few seconds ago at most."""
        ...
