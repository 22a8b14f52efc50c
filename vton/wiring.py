"""The only place that knows both sides: what the features need, and what provides it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from config import Config
from vton.adapters.breaker import RedisBreaker
from vton.adapters.cache import Cache
from vton.adapters.download import Downloads, is_loopback
from vton.adapters.pace import Pace
from vton.adapters.pictures import Bucket
from vton.adapters.pixazo import Pixazo, PixazoSettings
from vton.adapters.queue import SessionJobs, connect_redis
from vton.adapters.status import StatusCache
from vton.adapters.supabase import connect_supabase
from vton.adapters.tables import ErasureRows, GarmentRows, SessionRows, SubmitBooks
from vton.adapters.tokens import SupabaseTokens
from vton.errors import Unavailable
from vton.garments.service import Garments
from vton.tryon.ports import Limits
from vton.tryon.run import Rules, Runs
from vton.tryon.service import TryOns
from vton.tryon.sweep import Sweep
from vton.web.auth import Tokens

WEB_REDIS_CONNECTIONS = 4
WORKER_REDIS_CONNECTIONS = 10
"""Two web processes and one worker stay under the 20 clients of a small Redis plan."""
SUPABASE_CONNECTIONS = 20


@dataclass(frozen=True)
class Services:
    """What one process works with. `stopping` is set when it is asked to end."""

    tokens: Tokens
    tryons: TryOns
    runs: Runs
    sweep: Sweep
    garments: Garments
    redis: Redis
    checks: Mapping[str, Callable[[], bool]]
    stopping: threading.Event = field(default_factory=threading.Event)


def connect(config: Config, redis_connections: int = WEB_REDIS_CONNECTIONS) -> Services:
    """Return the services of one process. Call it after a fork; nothing is asked yet."""
    stopping = threading.Event()
    redis = connect_redis(config.redis_url, redis_connections, config.redis_ssl_cert_reqs)
    supabase = connect_supabase(
        config.supabase_url, config.supabase_service_role_key, SUPABASE_CONNECTIONS
    )
    sessions, books = SessionRows(supabase), SubmitBooks(supabase)
    garment_rows = GarmentRows(supabase)
    cache = Cache(redis)
    pictures = Bucket(supabase, config.storage_bucket, cache)
    jobs, breaker = SessionJobs(redis), RedisBreaker(redis)
    statuses = StatusCache(cache, pictures)
    pace = Pace(config.pixazo_polls_per_second, stopping)
    provider = Pixazo(
        _pixazo_settings(config),
        pictures,
        pace,
        config.worker_concurrency,
        Downloads(config.result_allowed_hosts),
    )
    limits = Limits(
        config.max_unfinished_per_user,
        config.max_per_day_per_user,
        config.max_waiting,
        config.max_paid_per_day,
    )
    rules = Rules(
        config.pixazo_first_poll,
        config.pixazo_poll_interval,
        config.session_deadline,
        config.max_paid_per_day,
    )
    return Services(
        tokens=SupabaseTokens(config.supabase_url, config.supabase_jwt_secret),
        tryons=TryOns(sessions, pictures, jobs, statuses, breaker, limits),
        runs=Runs(sessions, books, pictures, jobs, statuses, breaker, provider, stopping, rules),
        sweep=Sweep(
            sessions,
            books,
            ErasureRows(supabase),
            pictures,
            jobs,
            statuses,
            config.session_deadline,
            config.retention_days,
        ),
        garments=Garments(garment_rows, pictures),
        redis=redis,
        checks={
            "redis": lambda: _answers(redis.ping),
            "supabase": lambda: _answers(lambda: garment_rows.list(None, 1, None)),
            "storage": lambda: _answers(pictures.check),
        },
        stopping=stopping,
    )


def _pixazo_settings(config: Config) -> PixazoSettings:
    mode, host = config.pixazo_image_mode, urlsplit(config.supabase_url).hostname or ""
    # Pixazo could not open a URL on this machine, so it is sent the picture itself.
    send_urls = mode == "url" or (mode == "auto" and not is_loopback(host))
    return PixazoSettings(
        api_key=config.pixazo_api_key,
        base_url=config.pixazo_base_url,
        submit_path=config.pixazo_submit_path,
        status_path=config.pixazo_status_path,
        person_field=config.pixazo_person_field,
        garment_field=config.pixazo_garment_field,
        send_urls=send_urls,
        allowed_hosts=frozenset(config.pixazo_allowed_hosts),
    )


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (RedisError, Unavailable):
        return False
    return True
