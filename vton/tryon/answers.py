"""What users are told of their try-ons."""

import math
from dataclasses import dataclass
from datetime import datetime

from vton.tryon.model import (
    Garment,
    Session,
    SessionState,
    Status,
    own_pictures,
    thumbnail_path,
)
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl


@dataclass(frozen=True, slots=True)
class Started:
    """A try-on that a request has started, or has been found to have started before."""

    session_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class StatusView:
    """What a poll answers of a session.

    `eta` is in seconds, None where it cannot be told; `result` opens the picture of a success, and
    `thumbnail` a small one, if a URL is at hand.
    """

    state: SessionState
    eta: int | None
    result: SignedUrl | None
    thumbnail: SignedUrl | None = None

    @property
    def needs_url(self) -> bool:
        """Whether there is a picture and no URL at hand that opens it."""
        return self.state.status is Status.SUCCESS and self.result is None


@dataclass(frozen=True, slots=True)
class PicturedGarment:
    """The garment of a session, and a URL that opens its picture, if that is there."""

    garment: Garment
    image_url: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A session, and URLs that open its pictures: None where a picture is not there."""

    session: Session
    photo_url: str | None
    result_url: str | None
    thumbnail_url: str | None
    garment: PicturedGarment | None

    @property
    def ai_generated(self) -> bool:
        """Whether there is a picture, which a model has made."""
        return self.session.result is not None


def eta_of(state: SessionState, typical: TypicalDurations | None, now: datetime) -> int | None:
    """Return the seconds until the picture is there, if this try-on is like the last ones.

    None once it has ended, while too few have ended, and when it takes longer than they did.
    """
    if state.status.ended or typical is None:
        return None
    if state.began_at is not None:
        expected_at = state.began_at + typical.run
    elif state.queued_at is not None:
        expected_at = state.queued_at + typical.wait + typical.run
    else:
        return None
    seconds = math.ceil(expected_at - now.timestamp())
    return seconds if seconds > 0 else None


def pictures_of(session: Session) -> list[str]:
    """Return the object paths and URLs of all pictures that an entry of the history shows."""
    garment = [session.garment.picture] if session.garment else []
    own = own_pictures(session)
    small = [thumbnail_path(path) for path in own if path == session.result_path]
    return own + small + garment
