"""Errors to Sentry, when its DSN is set: an optional extra, with the same redaction as the logs."""

from __future__ import annotations

import logging
from typing import Any

from tradecast.observability.redact import redact_value, safe_message, scrub_text, short_path

_LOG_EVENT_KEYS = (
    "event_id",
    "timestamp",
    "level",
    "platform",
    "logger",
    "release",
    "environment",
    "fingerprint",
    "sdk",
)


def configure_sentry(dsn: str, environment: str, release: str) -> bool:
    """Send log records at ERROR, and exceptions that nobody caught, to Sentry.

    No user, request, breadcrumbs, host name, arguments or local variables go with them; texts are scrubbed, and an
    exception's own text goes only where it is known not to quote a client.

    Args:
        dsn: Where to; empty: nowhere.
        environment: What Sentry shows as the environment.
        release: What Sentry shows as the release: the version.

    Returns:
        Whether errors go anywhere.

    Raises:
        RuntimeError: sentry-sdk is not installed, or the DSN is none.
    """
    if not dsn:
        return False
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.dedupe import DedupeIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise RuntimeError(
            "SENTRY_DSN is set but sentry-sdk is not installed: pip install '.[sentry]' in tradecast's folder"
        ) from None
    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            release=release,
            server_name="",
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            before_breadcrumb=lambda crumb, hint: None,
            before_send=before_send,
            auto_session_tracking=False,
            send_client_reports=False,
            # the default ones add arguments of the process, its packages, outgoing requests, …
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[
                LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
                ExcepthookIntegration(),
                DedupeIntegration(),
                AtexitIntegration(callback=lambda pending, timeout: None),
            ],
        )
    except BadDsn:
        raise RuntimeError("SENTRY_DSN: is not a DSN of Sentry") from None
    return True


def before_send(event: Any, hint: Any) -> Any:
    """An event of Sentry's with only what may leave: copied by name, so that what the SDK adds one day stays here."""
    sent = {key: event[key] for key in _LOG_EVENT_KEYS if key in event}
    fields = (event.get("extra") or {}).get("tradecast_fields")
    entry = event.get("logentry") or {}
    text = entry.get("formatted") or entry.get("message") or event.get("message")
    if text:
        # asyncio's messages continue with reprs
        sent["message"] = scrub_text(str(text).partition("\n")[0], foreign=fields is None)
    if isinstance(fields, dict):
        sent["extra"] = redact_value(fields)
    runtime = (event.get("contexts") or {}).get("runtime")
    if runtime:
        sent["contexts"] = {"runtime": {key: runtime.get(key) for key in ("name", "version")}}
    values = (event.get("exception") or {}).get("values") or []
    if values:
        texts = _safe_texts(hint)
        sent["exception"] = {"values": [_scrub_exception(value, texts) for value in values]}
    return sent


def _scrub_exception(value: Any, texts: dict[str, str]) -> dict[str, Any]:
    found = {key: value.get(key) for key in ("type", "module")}
    found["value"] = texts.get(str(value.get("type")), "")
    mechanism = value.get("mechanism") or {}
    found["mechanism"] = {key: mechanism.get(key) for key in ("type", "handled") if key in mechanism}
    frames = (value.get("stacktrace") or {}).get("frames") or []
    found["stacktrace"] = {
        "frames": [
            {
                "filename": short_path(str(frame.get("abs_path") or frame.get("filename") or "")),
                **{key: frame.get(key) for key in ("function", "module", "lineno", "in_app")},
            }
            for frame in frames
        ]
    }
    return found


def _safe_texts(hint: Any) -> dict[str, str]:
    """The texts that may be sent, by their exception's type."""
    info = (hint or {}).get("exc_info")
    error = info[1] if info else None
    texts: dict[str, str] = {}
    while isinstance(error, BaseException) and type(error).__name__ not in texts:
        texts[type(error).__name__] = safe_message(error) or ""
        error = error.__cause__ or error.__context__
    return texts
