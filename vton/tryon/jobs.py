"""What RQ runs: one job per try-on, which carries the session's id and nothing else."""

from collections.abc import Callable, Mapping

from rq.job import Retry

from vton import log
from vton.tryon.service import Interrupted, TryOns

Handler = Callable[[str], Retry | None]

RUN = "vton.tryon.jobs.run"
"""The job's name: part of what is stored in Redis, so it does not change."""
_FOR_EVER = 1_000_000


def handlers(tryons: TryOns) -> Mapping[str, Handler]:
    """The functions a worker may run, by the name that the job carries."""

    def run(session_id: str) -> Retry | None:
        """Run a session; put it back into the queue if the process has to end first."""
        token = log.request_id.set(session_id)
        try:
            tryons.run(session_id)
        except Interrupted:
            return Retry(max=_FOR_EVER, interval=0)
        finally:
            log.request_id.reset(token)
        return None

    return {RUN: run}
