"""The operator is told of results that show nothing new. Their sessions stay successes.

A provider that ignores a field which it does not know makes the photo again, or nothing, and is
paid for it: then the name of the garment's field is probably wrong.
"""

import logging
import threading
from dataclasses import dataclass, field

from vton.errors import Unavailable
from vton.tryon.model import ProviderTask, Session
from vton.tryon.ports.clock import Clock
from vton.tryon.ports.database import SubmitLedger
from vton.tryon.ports.photos import ResultComparer
from vton.tryon.ports.storage import PictureMissing, Pictures

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
"""How long after one result was looked at the next one is: it costs as much as storing it did. A
wrong field spoils every result, so those of a busy hour need not all be looked at."""

_ALARMS = {
    "photo": "ALARM the result is the photo itself: is PIXAZO_GARMENT_FIELD right?",
    "blank": "ALARM the result is blank: is PIXAZO_GARMENT_FIELD right?",
}


@dataclass(frozen=True, kw_only=True)
class ResultCheck:
    """Looks at the results of all runs of a process, one at a time."""

    pictures: Pictures
    ledger: SubmitLedger
    comparer: ResultComparer
    clock: Clock
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _looked_at: list[float] = field(default_factory=list)

    def check(self, session: Session, task: ProviderTask, result: bytes) -> None:
        """Compare a stored result with its photo, and tell the ledger and the log.

        What cannot be looked at, or is not to be now, has nothing in the ledger. Never raises.
        """
        if not self._looking.acquire(blocking=False):
            return
        try:
            now = self.clock.monotonic()
            if self._looked_at and now - self._looked_at[0] < PAUSE_SECONDS:
                return
            self._looked_at[:] = [now]
            self._compare(session, task, result)
        except (Unavailable, PictureMissing):
            logger.info("the result was not looked at")
        except Exception:
            logger.exception("the result could not be looked at")
        finally:
            self._looking.release()

    def _compare(self, session: Session, task: ProviderTask, result: bytes) -> None:
        photo = self.pictures.get(session.photo or "")
        kind = self.comparer.kind_of_result(result, photo)
        if kind is None:
            return
        if kind in _ALARMS:
            logger.error(_ALARMS[kind])
        self.ledger.record_result_kind(session.id, task.id, kind)
