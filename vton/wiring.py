"""The only place that knows both sides: what the features need, and what provides it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from redis import Redis
from supabase import Client

from config import Config
from vton import metrics
from vton.adapters.health import SCHEMA_VERSION, DatabaseHealth, RedisHealth
from vton.adapters.http.client import HttpClient
from vton.adapters.http.download import Downloads, is_loopback
from vton.adapters.pixazo.client import Pixazo, PixazoSettings
from vton.adapters.pixazo.throttle import Throttle
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.circuit_breaker import RedisCircuitBreaker
from vton.adapters.redis.connection import connect_redis
from vton.adapters.redis.operations import RedisOperations
from vton.adapters.redis.queue import SessionJobs
from vton.adapters.redis.shared_metrics import SharedMetrics
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.redis.status_cache import RedisStatusCache
from vton.adapters.supabase.client import connect_supabase
from vton.adapters.supabase.clock import DatabaseClock
from vton.adapters.supabase.garments import GarmentRows
from vton.adapters.supabase.operations import GarmentRemover, PauseRows, RecordRows
from vton.adapters.supabase.storage import Bucket
from vton.adapters.supabase.submit_ledger import SubmitRows
from vton.adapters.supabase.tables import ErasureRows, SessionRows
from vton.adapters.supabase.tokens import SupabaseTokens
from vton.garments.service import Garments
from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import Sandbox
from vton.imaging.slots import DecoderSlots, count_slots, memory_there_is, shared_folder
from vton.operations.watch import Watch
from vton.tryon.ports.database import Limits
from vton.tryon.result_check import ResultCheck
from vton.tryon.retries import Retries
from vton.tryon.runner import SessionRunner
from vton.tryon.service import TryOns
from vton.tryon.starter import Starter
from vton.tryon.submitter import Submitter
from vton.tryon.sweep import Sweep
from vton.version import release
from vton.web.auth import Tokens
from vton.web.health import Health, Parts

WEB_REDIS_CONNECTIONS = 4
WORKER_REDIS_CONNECTIONS = 10
"""Two web processes and one worker stay under the 20 clients of a small Redis plan."""
SUPABASE_CONNECTIONS = 20


@dataclass(frozen=True, kw_only=True)
class Services:
    """What one process works with. `shutdown` is set when it is asked to end."""

    tokens: Tokens
    starter: Starter
    tryons: TryOns
    runner: SessionRunner
    sweep: Sweep
    garments: Garments
    redis: Redis
    health: Health
    clock: DatabaseClock
    counts: SharedMetrics
    shutdown: threading.Event
    pictures: Bucket
    photos: PictureConverter
    provider: Pixazo
    ledger: SubmitRows
    records: RecordRows
    pauses: PauseRows
    queue: RedisOperations
    garment_removal: GarmentRemover
    watch: Watch
    migrate: Callable[[bool], Iterator[str]] | None = None
    """Applies the migrations, where the database's own address is known."""


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """The outside world, as one process reaches it."""

    supabase: Client
    sessions: SessionRows
    ledger: SubmitRows
    erasures: ErasureRows
    garment_rows: GarmentRows
    pictures: Bucket
    jobs: SessionJobs
    status_cache: RedisStatusCache
    circuit_breaker: RedisCircuitBreaker
    converter: PictureConverter
    clock: DatabaseClock
    provider: Pixazo
    pauses: PauseRows
    shutdown: threading.Event


def connect(config: Config, redis_connections: int = WEB_REDIS_CONNECTIONS) -> Services:
    """Return the services of one process. Call it after a fork; nothing is asked yet."""
    redis = connect_redis(config.redis_url, redis_connections, config.redis_ssl_cert_reqs)
    adapters = _adapters(config, redis)
    pictures, garment_rows = adapters.pictures, adapters.garment_rows
    records = RecordRows(adapters.supabase, config.storage_bucket)
    queue, health = RedisOperations(redis), _health(config, adapters, redis)
    return Services(
        tokens=_tokens(config, adapters),
        starter=_starter(config, adapters),
        tryons=TryOns(
            sessions=adapters.sessions, pictures=pictures, jobs=adapters.jobs,
            status_cache=adapters.status_cache, clock=adapters.clock,
        ),
        runner=_runner(config, adapters),
        sweep=_sweep(config, adapters),
        garments=Garments(table=garment_rows, pictures=pictures, photos=adapters.converter),
        redis=redis,
        health=health,
        clock=adapters.clock,
        counts=SharedMetrics(redis, metrics.registry, metrics.ALARM_LINES),
        migrate=_migrator(config.supabase_db_url),
        shutdown=adapters.shutdown,
        pictures=pictures,
        photos=adapters.converter,
        provider=adapters.provider,
        ledger=adapters.ledger,
        records=records,
        pauses=adapters.pauses,
        queue=queue,
        garment_removal=GarmentRemover(adapters.supabase, config.storage_bucket),
        watch=Watch(
            records, queue, adapters.pauses, health.ready.broken, config.max_paid_per_day, release()
        ),
    )  # fmt: skip


def _adapters(config: Config, redis: Redis) -> Adapters:
    supabase = connect_supabase(
        config.supabase_url, config.supabase_service_role_key, SUPABASE_CONNECTIONS
    )
    clock = DatabaseClock(supabase)
    cache = Cache(redis)
    bucket_url = f"{config.public_url}/{config.storage_bucket}"
    signed_urls = SignedUrlCache(cache, bucket_url)
    pictures = Bucket(supabase, config.storage_bucket, signed_urls, config.public_url, clock.now)
    converter = PictureConverter(Sandbox(decoders=_decoders(config)))
    shutdown = threading.Event()
    return Adapters(
        supabase=supabase,
        sessions=SessionRows(supabase, config.storage_bucket),
        ledger=SubmitRows(supabase),
        erasures=ErasureRows(supabase),
        garment_rows=GarmentRows(supabase, config.storage_bucket),
        pictures=pictures,
        jobs=SessionJobs(redis, clock.now),
        status_cache=RedisStatusCache(cache, signed_urls),
        circuit_breaker=RedisCircuitBreaker(redis),
        converter=converter,
        clock=clock,
        provider=_pixazo(config, pictures, converter, clock, shutdown),
        pauses=PauseRows(supabase),
        shutdown=shutdown,
    )


def _health(config: Config, adapters: Adapters, redis: Redis) -> Health:
    queue = RedisHealth(redis, config.project)
    database = DatabaseHealth(adapters.supabase, adapters.sessions, adapters.clock.now)
    ready = {
        "redis": queue.check,
        "database": database.check,
        "storage": adapters.pictures.check,
    }
    served = {"worker": queue.check_worker, "queue": database.check_waiting}
    return Health(ready=Parts(ready), service=Parts(ready | served))


def _migrator(url: str) -> Callable[[bool], Iterator[str]] | None:
    def migrate(again: bool) -> Iterator[str]:
        # psycopg takes 9 MB, which no process that serves needs.
        from vton.adapters.supabase.migrations import apply_migrations

        return apply_migrations(url, again=again, version=SCHEMA_VERSION)

    return migrate if url else None


def _tokens(config: Config, adapters: Adapters) -> SupabaseTokens:
    return SupabaseTokens(
        config.supabase_url, config.supabase_jwt_secret, config.jwt_issuers,
        clock=lambda: adapters.clock.now().timestamp(),
    )  # fmt: skip


def _decoders(config: Config) -> DecoderSlots:
    return DecoderSlots(shared_folder(), count_slots(memory_there_is(), config.web_concurrency))


def _starter(config: Config, adapters: Adapters) -> Starter:
    return Starter(
        sessions=adapters.sessions,
        pictures=adapters.pictures,
        photos=adapters.converter,
        jobs=adapters.jobs,
        circuit_breaker=adapters.circuit_breaker,
        pauses=adapters.pauses,
        clock=adapters.clock,
        limits=Limits(
            unfinished_per_user=config.max_unfinished_per_user,
            per_day_per_user=config.max_per_day_per_user,
            waiting=config.max_waiting,
            paid_per_day=config.max_paid_per_day,
        ),
    )


def _runner(config: Config, adapters: Adapters) -> SessionRunner:
    provider = adapters.provider
    retries = Retries(
        jobs=adapters.jobs, clock=adapters.clock, shutdown=adapters.shutdown,
        deadline=config.session_deadline,
    )  # fmt: skip
    submitter = Submitter(
        sessions=adapters.sessions, ledger=adapters.ledger,
        circuit_breaker=adapters.circuit_breaker, provider=provider, retries=retries,
        clock=adapters.clock, shutdown=adapters.shutdown, paid_cap=config.max_paid_per_day,
        first_poll=config.pixazo_first_poll, poll_interval=config.pixazo_poll_interval,
    )  # fmt: skip
    result_check = ResultCheck(
        pictures=adapters.pictures, ledger=adapters.ledger, comparer=adapters.converter,
        clock=adapters.clock,
    )  # fmt: skip
    return SessionRunner(
        sessions=adapters.sessions,
        ledger=adapters.ledger,
        pictures=adapters.pictures,
        status_cache=adapters.status_cache,
        providers={provider.name: provider},
        submitter=submitter,
        photos=adapters.converter,
        result_check=result_check,
        retries=retries,
        clock=adapters.clock,
        poll_interval=config.pixazo_poll_interval,
    )


def _sweep(config: Config, adapters: Adapters) -> Sweep:
    return Sweep(
        sessions=adapters.sessions,
        ledger=adapters.ledger,
        erasures=adapters.erasures,
        pictures=adapters.pictures,
        jobs=adapters.jobs,
        status_cache=adapters.status_cache,
        clock=adapters.clock,
        deadline=timedelta(seconds=config.session_deadline),
        retention=timedelta(days=config.retention_days),
    )


def _pixazo(
    config: Config,
    pictures: Bucket,
    converter: PictureConverter,
    clock: DatabaseClock,
    shutdown: threading.Event,
) -> Pixazo:
    return Pixazo(
        settings=_pixazo_settings(config),
        pictures=pictures,
        converter=converter,
        throttle=Throttle(config.pixazo_polls_per_second, shutdown, clock),
        downloads=Downloads(config.result_allowed_hosts),
        http=HttpClient(config.worker_concurrency),
    )


def _pixazo_settings(config: Config) -> PixazoSettings:
    mode, host = config.pixazo_image_mode, urlsplit(config.public_url).hostname or ""
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
