"""Loggers of what other programs use as a library."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from tradecast.observability.logger import get_logger

NAME = "tradecast.tests.logger"


@pytest.fixture
def plain() -> Iterator[None]:
    """A program that has not configured structlog."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    yield
    if before is not None:
        structlog.configure(**before)


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """As of `logging.Handler`."""
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger(NAME)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("plain")
def test_it_writes_as_structlog_would_where_the_program_has_handlers(lines: Lines) -> None:
    fields = {"place": "10.0.0.1:6379", "count": 3, "names": ["a"], "nothing": None}
    get_logger(NAME).warning("the subscription is lost", **fields)
    (record,) = lines.records
    render = structlog.processors.KeyValueRenderer(key_order=["event"])
    assert record.getMessage() == render(None, "", {**fields, "event": "the subscription is lost"})
    assert (record.name, record.levelno, record.funcName) == (
        *(NAME, logging.WARNING, "test_it_writes_as_structlog_would_where_the_program_has_handlers"),
    )


@pytest.mark.usefixtures("plain")
def test_levels_are_the_loggers(lines: Lines) -> None:
    log = get_logger(NAME)
    log.debug("not this")
    for method in ("info", "warning", "error"):
        getattr(log, method)("this")
    assert [record.levelname for record in lines.records] == ["INFO", "WARNING", "ERROR"]


@pytest.mark.usefixtures("plain")
def test_an_exception_comes_with_its_traceback(lines: Lines) -> None:
    log = get_logger(NAME)
    try:
        raise ValueError("wrong")
    except ValueError as error:
        log.exception("it failed")
        log.error("it failed", exc_info=error)
    first, second = (record.getMessage() for record in lines.records)
    assert first == second
    assert first.startswith("event='it failed' exception='Traceback")
    assert "ValueError: wrong" in first


@pytest.mark.usefixtures("plain")
def test_it_is_silent_where_nobody_has_configured_logging(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda self: False)
    get_logger(NAME).error("nobody reads this")
    assert capfd.readouterr() == ("", "")


def test_structlog_is_used_where_it_is_configured(lines: Lines) -> None:
    with capture_logs() as entries:
        get_logger(NAME).info("an event", count=1)
    assert entries == [{"event": "an event", "count": 1, "log_level": "info"}]
    assert lines.records == []
