"""What users are told of their try-ons."""

from dataclasses import dataclass

from vton.tryon.model import Garment, Session, SessionState, Status
from vton.tryon.ports.storage import SignedUrl


@dataclass(frozen=True, slots=True)
class Started:
    """A try-on that a request has started, or has been found to have started before."""

    session_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class StatusView:
    """What a poll answers of a session.

    `eta` is in seconds, None where it cannot be told; `result` opens the picture of a success,
    if a URL is at hand.
    """

    state: SessionState
    eta: int | None
    result: SignedUrl | None

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
    garment: PicturedGarment | None

    @property
    def ai_generated(self) -> bool:
        """Whether there is a picture, which a model has made."""
        return self.session.result is not None
