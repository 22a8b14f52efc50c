"""Errors, reported to Sentry where SENTRY_DSN is set, without what is nobody's business there.

What goes out is what the log has at ERROR and above, and what nobody has caught: no variables, no
bodies, no headers, no query; and every text is cleaned as the log's is.
"""

from collections.abc import Mapping
from typing import Any

from vton.log import cleaned

_LEFT_OUT = ("request", "user", "breadcrumbs", "extra", "server_name")
_CODE = ("filename", "abs_path", "module", "function", "release")
"""What is of our code alone, and long."""
_LONGEST = 2000


def init(dsn: str, release: str, process: str) -> None:
    """Report errors of this process, if there is an address for them."""
    if not dsn:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
    from sentry_sdk.integrations.threading import ThreadingIntegration

    ignore_logger("vton.access")  # what broke has reported itself
    sentry_sdk.init(
        # Those that it finds by itself would see requests, and add headers to those that go out.
        default_integrations=False, auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None), ExcepthookIntegration(), AtexitIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        dsn=dsn, release=f"vton@{release}", before_send=_clean, before_send_transaction=_none,
        send_default_pii=False, include_local_variables=False, include_source_context=False,
        max_request_body_size="never", max_breadcrumbs=0, traces_sample_rate=None,
        auto_session_tracking=False, trace_propagation_targets=[],
    )  # fmt: skip
    sentry_sdk.set_tag("process", process)


def _clean(event: Any, hint: Mapping[str, Any]) -> Any:
    """Return an event without what names a person or opens a picture."""
    for name in _LEFT_OUT:
        event.pop(name, None)
    record = hint.get("log_record")
    tags = event.setdefault("tags", {})
    for name in ("request", "session"):
        if value := getattr(record, name, None):
            tags[f"{name}_id"] = value
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return cleaned(value, _LONGEST)
    if isinstance(value, dict):
        return {name: one if name in _CODE else _cleaned(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return value


def _none(_event: Any, _hint: Any) -> None:
    return None
