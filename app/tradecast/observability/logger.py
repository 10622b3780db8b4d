"""Loggers of what other programs use as a library: they say nothing until the program configures logging."""

from __future__ import annotations

import logging
from typing import Any, cast

import structlog
from structlog.stdlib import BoundLogger


def get_logger(name: str) -> BoundLogger:
    """A logger as structlog is configured; in a program that has not configured it, the standard library's.

    structlog's own default prints every line, debugging ones too, to standard output.
    """
    return cast(BoundLogger, _Logger(name))


class _Logger:
    def __init__(self, name: str) -> None:
        self._structured = structlog.stdlib.get_logger(name)
        self._standard = logging.getLogger(name)
        self._plain = structlog.wrap_logger(
            self._standard,
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=BoundLogger,
            cache_logger_on_first_use=True,
        )

    def __getattr__(self, method: str) -> Any:
        # Asked each time: a program may configure structlog after its imports.
        if structlog.is_configured():
            return getattr(self._structured, method)
        # Without a handler the standard library would write warnings to standard error.
        return getattr(self._plain, method) if self._standard.hasHandlers() else _say_nothing


def _say_nothing(*arguments: Any, **fields: Any) -> None:
    pass
