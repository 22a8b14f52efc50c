"""What is counted, for `/metrics`: in each process here, and in Redis for all of them together.

`vton.adapters.redis.shared_metrics` adds up what they have counted. Labels take few values: routes,
codes of the catalogue, names of outcomes; never an id.
"""

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Histogram

registry = CollectorRegistry(auto_describe=False)

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_TRY_ON_SECONDS = (5, 10, 15, 20, 30, 45, 60, 120, 300, 600)

REQUESTS = Counter(
    "vton_requests", "Answers to requests, polls that Redis answered excepted.",
    ["method", "route", "status", "code"], registry=registry,
)  # fmt: skip
REQUEST_SECONDS = Histogram(
    "vton_request_seconds", "How long an answer took, uploads with their body.", ["route"],
    buckets=_SECONDS, registry=registry,
)  # fmt: skip
POLLS = Counter(
    "vton_polls", "Polls that found a try-on, by who answered: redis, or the view.",
    ["answered_by"], registry=registry,
)  # fmt: skip
UPLOAD_SECONDS = Histogram(
    "vton_upload_seconds", "How long the bytes of a photo took to come.",
    buckets=_SECONDS, registry=registry,
)  # fmt: skip
DECODE_SECONDS = Histogram(
    "vton_decode_seconds", "How long a picture took to be decoded: here, or in a decoder.",
    ["where"], buckets=_SECONDS, registry=registry,
)  # fmt: skip
REFUSED_TOKENS = Counter(
    "vton_refused_tokens", "Access tokens that were refused, and why.", ["reason"],
    registry=registry,
)  # fmt: skip
SUBMITS = Counter(
    "vton_submits", "Paid calls to the provider, by what became of them.", ["outcome"],
    registry=registry,
)  # fmt: skip
PROVIDER_SECONDS = Histogram(
    "vton_provider_seconds", "How long the provider took to answer.", ["call", "answer"],
    buckets=_SECONDS, registry=registry,
)  # fmt: skip
ENDED = Counter(
    "vton_sessions_ended", "Try-ons that ended: success, or the code of a failure.", ["outcome"],
    registry=registry,
)  # fmt: skip
SESSION_SECONDS = Histogram(
    "vton_session_seconds", "From the upload to the stored result.",
    buckets=_TRY_ON_SECONDS, registry=registry,
)  # fmt: skip
FAULTS = Counter(
    "vton_faults", "Calls that Redis or a part of Supabase did not answer as it should.", ["part"],
    registry=registry,
)  # fmt: skip
ALARM_LINES: deque[tuple[float, str]] = deque(maxlen=20)
"""The last lines that were an alarm, and when (seconds since 1970)."""
ALARMS = Counter("vton_alarms", "Lines of the log that begin with ALARM.", registry=registry)
