"""Loggers of what other programs use as a library: they say nothing until the program configures logging.

structlog is used where the program has configured it, and need not be there.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger


def get_logger(name: str) -> BoundLogger:
    """A logger as structlog is configured; in a program that has not configured it, the standard library's.

    structlog's own default prints every line, debugging ones too, to standard output.
    """
    return cast("BoundLogger", _Logger(name))


class _Logger:
    def __init__(self, name: str) -> None:
        self._name = name
        self._standard = logging.getLogger(name)
        self._plain = _PlainLogger(self._standard)
        # structlog's logger and its own check, once the program has configured it; until then a check that says no.
        # Kept, because looking structlog up in `sys.modules` for each line would make each line dearer.
        self._structured: BoundLogger | None = None
        self._is_configured: Callable[[], bool] = _is_never

    def __getattr__(self, method: str) -> Any:
        # Looked up each time: a program may configure structlog after its imports, and tests undo it.
        if self._is_configured():
            return getattr(self._structured, method)
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            self._structured = structlog.stdlib.get_logger(self._name)
            self._is_configured = structlog.is_configured
            return getattr(self._structured, method)
        # Without a handler the standard library would write warnings to standard error.
        return getattr(self._plain, method) if self._standard.hasHandlers() else _write_nothing


class _PlainLogger:
    """The standard library's logger with structlog's methods: fields follow the event as `key=value`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **fields: Any) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        self._write(logging.ERROR, event, {"exc_info": True, **fields})

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        found = fields.pop("exc_info", None)
        error = sys.exc_info()[1] if found is True else found
        if isinstance(error, BaseException):
            fields["exception"] = "".join(traceback.format_exception(error)).rstrip()
        words = [f"event={event!r}", *(f"{name}={value!r}" for name, value in fields.items())]
        self._logger.log(level, "%s", " ".join(words), stacklevel=3)


def _is_never() -> bool:
    return False


def _write_nothing(*arguments: Any, **fields: Any) -> None:
    pass
