"""What `/metrics` answers: what all processes have counted, and how it is going now."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from vton.errors import Unavailable
from vton.operations.model import DatabaseOverview, Overview, QueueOverview

PARTS = ("database", "redis", "storage")


class Gauges(Collector):
    """How it is going, as Prometheus reads it. What could not be asked is left out."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        """Return the gauges."""
        seen = self._overview
        up = GaugeMetricFamily("vton_up", "Whether this part answers.", labels=["part"])
        for part in PARTS:
            up.add_metric([part], 0.0 if part in seen.away else 1.0)
        yield up
        yield _gauge(
            "vton_paid_cap", "Paid calls there may be today; 0: any number.", seen.paid_cap
        )
        if seen.database is not None and "pauses" not in seen.away:
            paused = 1 if seen.pause else 0
            yield _gauge("vton_paused", "Whether the operator has paused it.", paused)
        if seen.database is not None:
            yield from _of_database(seen.database)
            yield _gauge("vton_schema_faults", "What is not in force.", len(seen.faults))
        if seen.queue is not None:
            yield from _of_queue(seen.queue)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value)


def _of_database(database: DatabaseOverview) -> Iterator[Metric]:
    unfinished = GaugeMetricFamily(
        "vton_sessions", "Try-ons that have not ended, by state.", labels=["state"]
    )
    unfinished.add_metric(["queued"], database.queued)
    unfinished.add_metric(["processing"], database.processing)
    yield unfinished
    yield _gauge(
        "vton_oldest_waiting_seconds", "How long the first in the queue has waited.",
        database.oldest_seconds,
    )  # fmt: skip
    yield _gauge("vton_paid_today", "Paid calls since midnight UTC, at most.", database.paid_today)
    yield _gauge("vton_erasures", "Objects that have yet to be removed.", database.erasures)


def _of_queue(queue: QueueOverview) -> Iterator[Metric]:
    yield _gauge("vton_queue_depth", "Jobs in the queue.", queue.depth)
    yield _gauge("vton_workers", "Workers that live.", len(queue.workers))
    yield _gauge(
        "vton_circuit_breaker_open", "Whether the provider wants money.", int(queue.wants_money)
    )
    yield _gauge("vton_redis_memory_bytes", "What Redis fills.", queue.used_memory)
    yield _gauge(
        "vton_redis_max_memory_bytes", "What it may fill; 0: it does not say.", queue.max_memory
    )


def exposition(overview: Overview, counts: Collector) -> bytes:
    """Return everything in Prometheus' text format. Without Redis, the counters are left out."""
    shown = CollectorRegistry(auto_describe=False)
    shown.register(Gauges(overview))
    text = generate_latest(shown)
    if "redis" in overview.away:
        return text
    counted = CollectorRegistry(auto_describe=False)
    counted.register(counts)
    try:
        return text + generate_latest(counted)
    except Unavailable:
        return text
