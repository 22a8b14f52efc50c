"""One line an event, `key=value`, to standard output: what Heroku's log drains expect."""

import logging
import sys
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request, or of the try-on session, that this thread works on."""


class _AddRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure(level: str) -> None:
    """Send all logs of `level` and above to standard output.

    Libraries that would log a URL with a signature or a line for every job are held at
    WARNING.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_AddRequestId())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s id=%(request_id)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in (
        "httpx",
        "httpcore",
        "urllib3",
        "hpack",
        "PIL",
        "rq.worker",
        "rq.job",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
