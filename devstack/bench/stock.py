"""RQ's own worker on our queue, as a yardstick: one job at a time, until the queue is empty."""

from rq import Worker
from rq.serializers import JSONSerializer

from config import Config
from vton.adapters.redis.queue import open_queue
from vton.tryon import jobs
from vton.wiring import connect


def run(session_id: str) -> object:
    """What the job's name stands for: each job has a process, and so clients, of its own."""
    return jobs.handlers(connect(Config.from_env()).runner)[jobs.RUN](session_id)


if __name__ == "__main__":
    jobs.run = run  # type: ignore[attr-defined]  # where RQ looks for the name
    queue = open_queue(connect(Config.from_env()).redis)
    Worker([queue], connection=queue.connection, serializer=JSONSerializer).work(
        burst=True, logging_level="WARNING"
    )
