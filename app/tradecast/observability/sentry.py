"""STUB by the founder so that the server starts: helper 2 replaces this whole file."""

from __future__ import annotations


def configure_sentry(dsn: str, environment: str, release: str) -> bool:
    return False
