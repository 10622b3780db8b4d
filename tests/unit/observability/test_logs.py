from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tradecast.delivery.errors import AdapterUnavailable
from tradecast.observability.logs import MOST_WAITING, configure_logging
from tradecast.observability.redact import HIDDEN

TOUCHED = ("tradecast", "tradecast.engine.io", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")


def remove_handlers(of: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not type(handler).__module__.startswith(of)]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging belongs to the process: put it back for the tests that follow."""
    configured = structlog.get_config()
    root_level = logging.getLogger().level
    loggers = [logging.getLogger(name) for name in TOUCHED]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate, logger.disabled) for logger in loggers]
    yield
    remove_handlers("tradecast")
    logging.getLogger().setLevel(root_level)
    for logger, level, handlers, propagate, disabled in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.disabled = disabled
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def own(name: str = "tradecast.test") -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    own().info("connected", user_id="u1", transport="websocket", n=3)
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "logger": "tradecast.test",
        "event": "connected",
        "user_id": "u1",
        "transport": "websocket",
        "n": 3,
    }


FIELDS: list[dict[str, Any]] = [
    {"user_id": "u1", "transport": "websocket", "n": 3, "recovered": False, "nothing": None},
    {"event_name": "subscribed:portfolio", "reason": "mail ann@example.com", "sid": "s3cret", "level": "own"},
    {"text": "at 10.0.0.1:6379", "word": "localhost", "name_with-joints": "a_b-c", "signed": "s:abcdef.ghi"},
    {"nested": {"password": "p", "ok": ["x", object()]}, "long": "x" * 3000, "token": "t", "lone": "\ud800"},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_a_line_is_the_same_by_the_short_way_and_by_records(
    capsys: pytest.CaptureFixture[str], fields: dict[str, Any]
) -> None:
    configure_logging("info", "json")
    structlog.contextvars.bind_contextvars(request_id="r1")
    # pytest has handlers of its own on the root logger: without them ours is the only one, and takes the short way
    others = [handler for handler in logging.root.handlers if "tradecast" not in type(handler).__module__]
    for handler in others:
        logging.root.removeHandler(handler)
    try:
        own().info("said", **fields)
    finally:
        for handler in others:
            logging.root.addHandler(handler)
    keeper = logging.NullHandler()
    logging.root.addHandler(keeper)
    try:
        own().info("said", **fields)
    finally:
        logging.root.removeHandler(keeper)
    short, by_records = lines(capsys)
    short.pop("timestamp"), by_records.pop("timestamp")
    assert short == by_records
    assert short["request_id"] == "r1"


@pytest.mark.parametrize("way", ["filter", "no propagation", "handler on the way"])
def test_the_short_way_respects_what_others_have_set(capsys: pytest.CaptureFixture[str], way: str) -> None:
    configure_logging("info", "json")
    others = [handler for handler in logging.root.handlers if "tradecast" not in type(handler).__module__]
    for handler in others:
        logging.root.removeHandler(handler)
    logger, parent = logging.getLogger("tradecast.quiet.child"), logging.getLogger("tradecast.quiet")
    kept: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    keeper = Keeper()
    try:
        if way == "filter":
            logger.addFilter(lambda record: False)
        elif way == "no propagation":
            parent.propagate = False
        else:
            parent.addHandler(keeper)
        own("tradecast.quiet.child").info("said")
    finally:
        logger.filters.clear()
        parent.propagate = True
        parent.removeHandler(keeper)
        for handler in others:
            logging.root.addHandler(handler)
    assert (len(lines(capsys)), len(kept)) == ((1, 1) if way == "handler on the way" else (0, 0))


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], level: str, shown: list[str]) -> None:
    configure_logging(level, "json")
    for method in ("debug", "info", "warning", "error"):
        getattr(own(), method)("x")
    assert [line["level"] for line in lines(capsys)] == shown


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    log = own()
    configure_logging("debug", "console")
    log.debug("once")
    configure_logging("info", "json")
    log.debug("not this")
    log.info("that")
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert json.loads(err[1])["event"] == "that"


def test_bound_context_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="a1b2c3d4e5f60718", connection_id="0011223344556677"):
        own().info("ours")
        logging.getLogger("redis").warning("theirs")
    own().info("after")
    ours, theirs, after = lines(capsys)
    for line in (ours, theirs):
        assert (line["request_id"], line["connection_id"]) == ("a1b2c3d4e5f60718", "0011223344556677")
    assert "request_id" not in after


PLANTED = {
    "session_id": "sess-plain-1",
    "sessionID": "sess-plain-2",
    "sid": "sid-plain",
    "token": "tok-plain",
    "authorization": "auth-plain",
    "cookie": "cookie-plain",
    "email": "mail-plain",
    "name": "Ann Planted",
    "user_name": "Bob Planted",
    "password": "pw-plain",
    "client": "client-plain",
    "address": "address-plain",
    "ip": "ip-plain",
    "note": "mail ann@planted.example from 203.0.113.9 with s:plantedAB.sig and Bearer planted-token at redis://u:planted@h",
    "nested": {"deeper": [{"userEmail": "deep-plain", "text": "203.0.113.9"}]},
}


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_secrets_do_not_appear(capsys: pytest.CaptureFixture[str], fmt: str) -> None:
    configure_logging("debug", fmt)
    fields: dict[str, Any] = {**PLANTED}
    own().info("ours", **fields)
    own().info(f"in the sentence: {PLANTED['note']}")
    own().info("with arguments %s", PLANTED["note"])
    own().bind(**fields).warning("bound")
    structlog.contextvars.bind_contextvars(email="context-plain", note=PLANTED["note"])
    own().error("context")
    logging.getLogger("some.library").error("theirs %s", PLANTED["note"])
    try:
        raise ValueError(PLANTED["note"])
    except ValueError:
        own().exception("failed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    text = capsys.readouterr().err
    assert text.count("\n") >= 8
    assert "planted" not in text.lower()
    assert "plain" not in text
    assert "203.0.113.9" not in text


def test_other_packages_are_heard_only_when_it_matters(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    for name in ("uvicorn", "uvicorn.error", "redis", "pymongo", "pymongo.command", "motor", "asyncio", "httpx", "any"):
        logging.getLogger(name).debug("no")
        logging.getLogger(name).info("no")
        logging.getLogger(name).warning("yes %s", name)
    for name in ("engineio.server", "socketio.server", "tradecast.engine.io"):
        logging.getLogger(name).warning("no")
        logging.getLogger(name).error("yes %s", name)
    logging.getLogger("uvicorn.access").critical("no")
    found = lines(capsys)
    assert len(found) == 12
    assert {line["event"].split()[0] for line in found} == {"yes"}
    assert {line["logger"] for line in found} >= {"pymongo.command", "engineio.server", "any"}


def test_other_packages_handlers_do_not_write_past_us(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(sys.stderr))
    logging.getLogger("uvicorn.error").propagate = False
    configure_logging("info", "json")
    logging.getLogger("uvicorn.error").error("x")
    assert [line["event"] for line in lines(capsys)] == ["x"]


def test_sids_in_other_packages_words_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    sid = "Zx9kLm0PqRsTuVwAAAB"
    logging.getLogger("tradecast.engine.io").error("%s: Received packet", sid)
    logging.getLogger("engineio.server").error("Unexpected error with %s", sid)
    assert [line["event"] for line in lines(capsys)] == [
        f"{HIDDEN}: Received packet",
        f"Unexpected error with {HIDDEN}",
    ]


async def test_what_asyncio_says_of_a_lost_task_holds_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    async def lose() -> None:
        raise ValueError("planted words")

    task = asyncio.create_task(lose())
    await asyncio.wait([task])
    loop = asyncio.get_running_loop()
    # as the task's finalizer does
    loop.call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    logging.getLogger("asyncio").error("Exception in callback handle('planted')\nhandle: <Handle planted>")
    found = lines(capsys)
    assert "planted" not in str(found)
    assert found[0]["event"] == "Task exception was never retrieved"
    assert found[0]["exception"]["type"] == "builtins.ValueError"
    assert found[1]["event"] == "Exception in callback handle"


def test_exceptions_tell_where_but_not_what_a_client_sent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        try:
            int("planted")
        except ValueError as error:
            raise AdapterUnavailable("Redis did not take the message") from error
    except AdapterUnavailable as error:
        own().exception("by exception()")
        own().error("by the exception itself", exc_info=error)
        logging.getLogger("some.library").exception("by a library")
    found = lines(capsys)
    assert len(found) == 3
    for line in found:
        exception = line["exception"]
        assert exception["message"] == "Redis did not take the message"
        assert exception["frames"][0].endswith("test_exceptions_tell_where_but_not_what_a_client_sent")
        assert exception["cause"]["type"] == "builtins.ValueError"
        assert "message" not in exception["cause"]
    assert "planted" not in str(found)


def test_nothing_that_is_logged_raises(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    remove_handlers("_pytest")  # those are not so patient

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("planted")

        __repr__ = __str__

    loop: dict[str, Any] = {}
    loop["loop"] = loop
    own().info("hostile", value=Hostile(), loop=loop, bytes=b"\xff", surrogate="\ud800", nan=float("nan"))
    own().info("\ud800")
    own().info("100 %", share="5 %d")
    own().info(None)
    own().info("no arguments for this %s %s")
    own().info("reserved", level="mine", timestamp="mine", logger="mine")
    logging.getLogger("some.library").error("wrong %d arguments", "x")
    logging.getLogger("some.library").error(Hostile())
    found = lines(capsys)
    assert len(found) == 8
    assert found[0]["value"] == "<Hostile>"
    assert found[2]["event"] == "100 %"
    assert found[2]["share"] == "5 %d"
    assert found[5]["level"] == "info"
    assert found[5]["level_"] == "mine"
    assert found[7]["event"] == "a log line could not be written"
    assert "planted" not in str(found)


def test_a_closed_standard_error_is_no_reason_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging("info", "json")

    class Closed:
        written = 0

        def write(self, text: str) -> None:
            Closed.written += 1
            raise BrokenPipeError

        def flush(self) -> None: ...
        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stderr", Closed())
    own().error("x")
    assert Closed.written == 1


def test_console_lines_are_short_and_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    own("tradecast.limits").warning("sentence", user_id="u1\n12:00:00.000 error forged", n=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} warning limits: sentence user_id=u1 12:00:00.000 error forged n=3", line
    )


def test_console_has_colours_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("info", "console")
    own().error("x", note="\x1b[2J")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    own().error("x", note="\x1b[2J")
    plain, coloured = capsys.readouterr().err.splitlines()
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured
    assert "\x1b[2J" not in coloured


def test_console_shows_exceptions_below(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    try:
        raise AdapterUnavailable("Redis did not take it")
    except AdapterUnavailable:
        own().exception("failed")
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("error   test: failed")
    assert second == "    tradecast.delivery.errors.AdapterUnavailable: Redis did not take it"
    assert third.startswith("      ")
    assert "test_logs.py:" in third


class Written:
    """Standard error that keeps what it is told, one text for each write."""

    line_buffering = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text)

    def isatty(self) -> bool:
        return False


def log_to(written: Written, monkeypatch: pytest.MonkeyPatch) -> structlog.stdlib.BoundLogger:
    """A logger whose lines go there by the short way. Not a fixture: pytest has a handler for each phase of a test."""
    monkeypatch.setattr("sys.stderr", written)
    remove_handlers("_pytest")
    configure_logging("info", "json")
    return own()


async def test_lines_of_one_turn_are_written_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    log = log_to(written, monkeypatch)
    log.info("first")
    log.info("second")
    assert written.texts == []
    await asyncio.sleep(0)
    assert [events(text) for text in written.texts] == [["first", "second"]]
    log.info("third")
    log.warning("fourth")  # is not kept waiting, and comes after what waits
    assert [events(text) for text in written.texts[1:]] == [["third", "fourth"]]
    await asyncio.sleep(0)
    assert len(written.texts) == 2


async def test_lines_of_one_turn_wait_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    log = log_to(written, monkeypatch)
    for n in range(MOST_WAITING + 3):
        log.info("line", n=n)
    assert [len(events(text)) for text in written.texts] == [MOST_WAITING]
    await asyncio.sleep(0)
    assert [json.loads(line)["n"] for text in written.texts for line in text.splitlines()] == [*range(MOST_WAITING + 3)]


async def test_lines_of_other_threads_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    log = log_to(written, monkeypatch)
    log.info("of the loop")
    await asyncio.to_thread(log.info, "of a thread")
    assert sorted(event for text in written.texts for event in events(text)) == ["of a thread", "of the loop"]


@pytest.mark.parametrize("way", ["exit", "error", "configured again"])
def test_lines_that_wait_are_written_whatever_ends_the_process(way: str) -> None:
    ends = {"exit": "raise SystemExit(3)", "error": "raise KeyError('x')", "configured again": "configure()"}[way]
    program = f"""
import asyncio, structlog
from tradecast.observability.logs import configure_logging
def configure():
    configure_logging("info", "json")
configure()
async def main():
    structlog.stdlib.get_logger("tradecast.test").info("the last line")
    {ends}
asyncio.run(main())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert found.stderr.count("the last line") == 1


def events(text: str) -> list[str]:
    return [json.loads(line)["event"] for line in text.splitlines()]
