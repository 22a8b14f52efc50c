"""What all processes have counted, added up in Redis.

A scrape asks one web process, and is to be told of all: those of other machines, the workers,
which listen on no port, and those that have ended. So each adds what it has counted to one hash,
every few seconds, and `/metrics` shows that. An emptied Redis begins at zero, as a counter may.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import cast

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from vton.errors import Unavailable
from vton.tryon.ports.clock import Shutdown

logger = logging.getLogger(__name__)

COUNTS_KEY = "vton:counts"
ALARMS_KEY = "vton:alarms"
ALARMS_KEPT = 20
ALARMS_SECONDS = 24 * 3600


class SharedMetrics(Collector):
    """Adds a process's counts to those of all. Safe to share between threads.

    `registry` is what the process counts in: counters and histograms, whose values only grow;
    `alarms` are the lines of its log that the operator is shown.
    """

    def __init__(
        self,
        redis: Redis,
        registry: CollectorRegistry,
        alarms: deque[tuple[float, str]] | None = None,
    ) -> None:
        self._redis = redis
        self._alarms = deque[tuple[float, str]]() if alarms is None else alarms
        self._registry = registry
        self._pushed: dict[str, float] = {}
        self._lock = threading.Lock()

    def push(self) -> None:
        """Add what was counted since the last time. Raises Unavailable.

        Nothing is lost; what Redis has taken and not answered is added once more.
        """
        with self._lock:
            counted = dict(self._counted())
            grown = {
                field: value - self._pushed.get(field, 0.0)
                for field, value in counted.items()
                if value != self._pushed.get(field, 0.0)
            }
            lines = list(self._alarms)
            if not grown and not lines:
                return
            try:
                with self._redis.pipeline() as pipeline:
                    for field, growth in grown.items():
                        pipeline.hincrbyfloat(COUNTS_KEY, field, growth)
                    for line in lines:
                        pipeline.lpush(ALARMS_KEY, json.dumps(line))
                    pipeline.ltrim(ALARMS_KEY, 0, ALARMS_KEPT - 1)
                    pipeline.expire(ALARMS_KEY, ALARMS_SECONDS)
                    pipeline.execute()
            except RedisError:
                raise Unavailable("Redis cannot be reached") from None
            self._pushed = counted
            for _ in lines:
                self._alarms.popleft()

    def push_forever(self, shutdown: Shutdown, seconds: float) -> None:
        """Push every so many seconds, and once more when the process is asked to end."""
        ends = False
        while not ends:
            ends = shutdown.wait(seconds)
            try:
                self.push()
            except Unavailable:
                logger.debug("what was counted stays here: Redis is away")
            except Exception:
                logger.exception("what was counted could not be added up")

    def collect(self) -> Iterator[Metric]:
        """Return what all have counted. Raises Unavailable."""
        try:
            stored = cast(dict[bytes, bytes], self._redis.hgetall(COUNTS_KEY))
        except RedisError:
            raise Unavailable("Redis cannot be reached") from None
        totals: dict[str, list[tuple[dict[str, str], float]]] = {}
        for field, value in stored.items():
            name, labels = json.loads(field)
            totals.setdefault(name, []).append((dict(labels), float(value)))
        for metric in self._registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type)
            for suffix in _SUFFIXES[metric.type]:
                name = metric.name + suffix
                known = totals.get(name, _nothing_yet(metric, name))
                for labels, total in sorted(known, key=_order):
                    shown.add_sample(name, labels, total)
            yield shown

    def _counted(self) -> Iterator[tuple[str, float]]:
        for metric in self._registry.collect():
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    yield json.dumps([sample.name, sorted(sample.labels.items())]), sample.value


def _nothing_yet(metric: Metric, name: str) -> list[tuple[dict[str, str], float]]:
    """Return zero for a counter without labels: its first growth can be seen only beside that."""
    return [({}, 0.0)] if any(one.name == name and not one.labels for one in metric.samples) else []


def _order(sample: tuple[dict[str, str], float]) -> tuple[list[tuple[str, str]], float]:
    """Sort by labels, and the buckets of a histogram by their bound."""
    labels = sample[0]
    others = sorted(item for item in labels.items() if item[0] != "le")
    return others, float(labels.get("le", 0))


_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
