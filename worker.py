"""The worker process: `python worker.py`."""

import ctypes
import logging
import threading
from contextlib import suppress

from config import Config
from vton import log, start
from vton.adapters.redis.queue import Liveness, open_queue
from vton.adapters.redis.rq_worker import ThreadedWorker
from vton.process import hide_from_others
from vton.tryon.jobs import handlers
from vton.wiring import WORKER_REDIS_CONNECTIONS, connect

logger = logging.getLogger("vton.worker")

M_ARENA_MAX = -8
"""glibc's name for how many memory arenas a process has (mallopt(3))."""


def limit_arenas() -> None:
    """Let all threads share two memory arenas, where the C library is glibc.

    With one for each of a few threads, 200 try-ons of 1 MB took 223 MB; with two, 188 MB.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def main() -> None:
    """Run try-ons until SIGTERM or SIGINT."""
    limit_arenas()
    hide_from_others()
    config = Config.from_env()
    log.configure(config.log_level, config.log_format)
    services = connect(config, WORKER_REDIS_CONNECTIONS)
    worker = ThreadedWorker(
        open_queue(services.redis),
        handlers(services.runner),
        config.worker_concurrency,
        services.shutdown,
        Liveness(services.redis),
    )
    worker.install_signal_handlers()
    if not start.worker(config, services):
        return
    sweeping = threading.Thread(
        target=services.sweep.run_forever, args=(services.shutdown,), name="sweep", daemon=True
    )
    sweeping.start()
    worker.work()
    logger.info("ended, as it was asked to")
    start.end(services)


if __name__ == "__main__":
    main()
