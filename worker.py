"""The worker process: `python worker.py`."""

from config import Config
from vton import log
from vton.adapters.queue import open_queue
from vton.adapters.worker import ThreadedWorker
from vton.tryon.jobs import handlers
from vton.wiring import WORKER_REDIS_CONNECTIONS, connect


def main() -> None:
    """Run try-ons until SIGTERM or SIGINT."""
    config = Config.from_env()
    log.configure(config.log_level)
    services = connect(config, WORKER_REDIS_CONNECTIONS)
    worker = ThreadedWorker(
        open_queue(services.redis),
        handlers(services.tryons),
        config.worker_concurrency,
        services.stopping,
    )
    worker.install_signal_handlers()
    worker.work()


if __name__ == "__main__":
    main()
