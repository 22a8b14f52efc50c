"""How a process of the service begins: what it refuses, and what it says when it is ready."""

import logging
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from config import Config
from vton import reports
from vton.adapters.redis.connection import connect_redis, refuse_wrong_redis
from vton.errors import Unavailable
from vton.version import release
from vton.wiring import Services

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
PUSH_SECONDS = 5.0
"""How often what was counted is added to what all processes have counted."""


def web(config: Config, services: Services, *, refuse: bool = True) -> None:
    """Refuse what the web process could not work with, and say that it is ready.

    Ends the process where Redis is a cluster or another project's, unless it is not to `refuse`.
    One that is away is no reason.
    """
    if refuse:
        with suppress(Unavailable):
            _refuse_wrong_redis(config)
    _begin(config, services, "web")


def worker(config: Config, services: Services) -> bool:
    """Do the same for the worker, which has no use before Redis and the database are there.

    Wait for both. Return False where the process is asked to end meanwhile.
    """
    while True:
        try:
            _refuse_wrong_redis(config)
            services.clock.measure()
        except Unavailable as away:
            logger.warning("waiting: %s", away.why)
            if services.shutdown.wait(AGAIN_SECONDS):
                return False
        else:
            _begin(config, services, "worker")
            return True


def end(services: Services) -> None:
    """Do what is left to do when a process ends."""
    with suppress(Unavailable):
        services.counts.push()


def _refuse_wrong_redis(config: Config) -> None:
    with connect_redis(config.redis_url, 1, config.redis_ssl_cert_reqs) as redis:
        refuse_wrong_redis(redis, config.project)


def _begin(config: Config, services: Services, process: str) -> None:
    reports.init(config.sentry_dsn, release(), process)
    _count_in_redis(services)
    _say_ready(config, process)


def _count_in_redis(services: Services) -> None:
    threading.Thread(
        target=services.counts.push_forever, args=(services.shutdown, PUSH_SECONDS),
        name="counts", daemon=True,
    ).start()  # fmt: skip


def _say_ready(config: Config, process: str) -> None:
    """Log one line: release, whom it talks to (hosts alone), and within which limits."""
    redis, provider = urlsplit(config.redis_url), urlsplit(config.pixazo_base_url)
    limits = {
        "unfinished_per_user": config.max_unfinished_per_user,
        "per_day_per_user": config.max_per_day_per_user,
        "waiting": config.max_waiting,
        "paid_per_day": config.max_paid_per_day,
        "requests_per_minute": config.rate_limit,
    }
    own = {"worker": config.worker_concurrency, "web": config.web_concurrency}
    logger.info(
        "ready", extra={
            "process_type": process, "release": release(), "supabase": config.project,
            "redis": f"{redis.hostname}:{redis.port or 6379}", "provider": provider.hostname,
            "bucket": config.storage_bucket, "concurrency": own[process],
            "deadline_seconds": config.session_deadline, **limits,
        },
    )  # fmt: skip
