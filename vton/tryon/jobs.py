"""What RQ runs: one job per try-on, which carries the session's id and nothing else."""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.exceptions import RedisError
from rq import get_current_job
from rq.job import Retry

from vton import log
from vton.tryon.retries import Interrupted
from vton.tryon.runner import SessionRunner
from vton.tryon.submitter import Step

logger = logging.getLogger(__name__)

Handler = Callable[[str], Retry | None]

RUN = "vton.tryon.jobs.run"
"""The job's name: part of what is stored in Redis, so it does not change."""
_FOR_EVER = 1_000_000
_TASK_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


class RunBroke(Exception):
    """A run ended by a fault of ours. RQ keeps and shows this one; the log has the real one."""


def handlers(runner: SessionRunner) -> Mapping[str, Handler]:
    """The functions a worker may run, by the name that the job carries."""

    def run(session_id: str) -> Retry | None:
        """Run a session; put it back into the queue if the process has to end first."""
        with log.about(session_id):
            try:
                runner.run(session_id, _note_step)
            except Interrupted:
                return Retry(max=_FOR_EVER, interval=0)
            except Exception:
                logger.exception("the run broke")
                raise RunBroke("see the log of the worker") from None
        return None

    return {RUN: run}


def _note_step(step: Step, task_id: str | None) -> None:
    """Note on the job, for the dashboard, where its run is; without Redis nobody looks.

    The dashboard shows it unescaped, so an id of the provider's has to look like one.
    """
    job = get_current_job()
    if job is None:
        return
    meta = {**job.meta, "step": step}
    if task_id is not None:
        meta["task"] = task_id if _TASK_ID.fullmatch(task_id) else None
    if meta != job.meta:
        job.meta = meta
        with suppress(RedisError):
            job.save_meta()  # type: ignore[no-untyped-call]
