"""Log lines: one JSON object each on standard error (or a short line for people), redacted whoever wrote them.

Fields: `timestamp` (ISO 8601, milliseconds, UTC), `level`, `logger`, `event` (a fixed sentence), the line's own fields,
and what is bound by `structlog.contextvars` (`connection_id`, `request_id`).

Our own lines below a warning are written at the end of the turn of the event loop, together. Others are at once, after
those that wait. A process that is killed loses the lines of one turn.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, Literal, cast

import orjson
import structlog

from tradecast.iso_time import format_time
from tradecast.observability.redact import HIDDEN, describe_exception, is_denied, one_line, redact_value, scrub_text

OWN = "tradecast"
# python-socketio and python-engineio write packets and sids to these. The last is the name they get from the adapter.
FOREIGN_ERRORS_ONLY = ("engineio", "socketio", "tradecast.engine.io")
# Their INFO has addresses and query strings, their DEBUG has documents and commands.
FOREIGN_WARNINGS = (
    *("asyncio", "uvicorn", "uvicorn.error", "websockets", "redis", "pymongo", "motor", "httpx", "httpcore"),
    *("sentry_sdk", "urllib3", "concurrent.futures"),
)
# Lines that wait for the end of a turn of the event loop, to be written at once.
MOST_WAITING: Final = 256
_FIELDS = "tradecast_fields"
_RESERVED = ("timestamp", "level", "logger", "event", "exception")
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


def configure_logging(level: str, fmt: Literal["json", "console"] | str) -> None:
    """Send all log lines of the process to standard error. May be called again.

    Args:
        level: debug, info, warning or error, for our own lines; other packages' are at warning or above.
        fmt: `json` or `console`.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    foreign = max(number, logging.WARNING)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
            handler.flush()
    root.addHandler(_Handler(ConsoleFormatter() if fmt == "console" else JsonFormatter()))
    root.setLevel(foreign)
    logging.getLogger(OWN).setLevel(number)
    for names, lowest in ((FOREIGN_WARNINGS, foreign), (FOREIGN_ERRORS_ONLY, max(number, logging.ERROR))):
        for name in names:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(lowest)
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            _hand_over,
        ],
        wrapper_class=_BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class _BoundLogger(structlog.stdlib.BoundLogger):
    """structlog's, with a short way for our own lines: each connection and subscription writes one.

    structlog's processors and the standard library's search for the caller cost three times what the rest of a line
    does. Nothing of what they find out is written.
    """

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *event_args: Any, **event_kw: Any) -> Any:
        processors = cast(list[Any], self._processors)
        if event_args or processors[-1:] != [_hand_over]:  # structlog.testing puts others in their place
            return super()._proxy_to_logger(method_name, event, *event_args, **event_kw)
        logger: logging.Logger = self._logger
        level = _LEVELS[method_name]
        if not logger.isEnabledFor(level):
            return None
        fields = structlog.contextvars.get_contextvars()
        if self._context:
            fields.update(self._context)
        exc_info = event_kw.pop("exc_info", None)
        event_kw.pop("stack_info", None)
        fields.update(event_kw)
        if level < logging.WARNING and not exc_info and (writer := _only_writer(logger)) is not None:
            writer.write_own(logger.name, level, str(event), fields)
        else:
            logger.handle(_Record(logger.name, level, str(event), exc_info, fields))
        return None


def _only_writer(logger: logging.Logger) -> _Handler | None:
    """Our handler, if it is all that would get a line of this logger below a warning; Sentry wants errors only."""
    handlers = logging.root.handlers
    if len(handlers) != 1 or logger.filters:
        return None
    on_the_way: logging.Logger | None = logger
    while on_the_way is not None and on_the_way is not logging.root:
        if on_the_way.handlers or not on_the_way.propagate:
            return None
        on_the_way = on_the_way.parent
    only = handlers[0]
    return only if type(only) is _Handler and only.is_plain else None


class _Record(logging.LogRecord):
    """A record of one of our own lines, with what handlers may ask of it."""

    def __init__(self, name: str, level: int, event: str, exc_info: Any, fields: dict[str, Any]) -> None:
        # Not the base class's: it looks up the thread, the process and the file, which no line of ours has.
        self.__dict__.update(_RECORD)
        self.name = name
        self.msg = event
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        if exc_info:
            info = exc_info if isinstance(exc_info, BaseException | tuple) else sys.exc_info()
            self.exc_info = (type(info), info, info.__traceback__) if isinstance(info, BaseException) else info
        self.__dict__[_FIELDS] = fields


# What a handler finds in a record to which we add nothing.
_RECORD = {**logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "filename": "", "module": ""}
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_LEVEL_NAMES = {logging.DEBUG: "debug", logging.INFO: "info"}


def _hand_over(logger: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last processor: what goes to the standard library's logger."""
    event = fields.pop("event", "")
    exc_info = fields.pop("exc_info", None)
    fields.pop("stack_info", None)
    # without arguments, the standard library takes the message as it is
    return {"msg": str(event), "exc_info": exc_info, "extra": {_FIELDS: dict(fields)}}


class _Handler(logging.Handler):
    """Writes to whatever standard error is now. Never raises, and never says more than the formatter does."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        # Lines of this turn of the event loop. A write costs as much as all the rest of a line, and when thousands
        # come back at once, a turn has dozens.
        self._waiting: list[str] = []
        self._writing = threading.Lock()

    @property
    def is_plain(self) -> bool:
        """Whether it writes JSON, and nobody has put a filter or a level of his own on it."""
        return type(self.formatter) is JsonFormatter and not self.filters and not self.level

    def write_own(self, name: str, level: int, event: str, fields: dict[str, Any]) -> None:
        """Write one of our own lines without a record of it."""
        try:
            line = _make_head(time.time(), _LEVEL_NAMES[level], name, _shown_sentence(event))
            _add_fields(line, fields)
            text = _dump_line(line)
        except Exception as error:
            text = _describe_unwritable(time.time(), error)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write(text)
            return
        waiting = self._waiting
        waiting.append(text)
        if len(waiting) == 1:
            loop.call_soon(self.flush)
        elif len(waiting) >= MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what waits for the end of the turn. Python calls it at exit as well."""
        if self._waiting:
            self._write()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = _describe_unwritable(record.created, error)
        self._write(text)

    def _write(self, *more: str) -> None:
        with self._writing:  # lines of other threads do not wait, and come after those that do
            waiting, self._waiting = self._waiting, []
            text = "\n".join((*waiting, *more, ""))
            try:
                stream = sys.stderr
                stream.write(text)
                if not getattr(stream, "line_buffering", False):
                    stream.flush()
            except Exception:  # noqa: S110 there is nowhere left to report it
                pass


def _describe_unwritable(created: float, error: Exception) -> str:
    """A line in the place of one that is itself in doubt: only what cannot be."""
    line = _make_head(created, "error", "tradecast.logs", "a log line could not be written")
    return _dump_line({**line, "error": type(error).__name__})


def _dump_line(line: dict[str, Any]) -> str:
    return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS, default=_type_name).decode("utf-8", "replace")


class JsonFormatter(logging.Formatter):
    """One JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        return _dump_line(render_record(record))


class ConsoleFormatter(logging.Formatter):
    """`19:46:03.120 warning limits: sentence key=value`, coloured on a terminal; an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        line = render_record(record)
        level, event, logger = line.pop("level"), line.pop("event"), line.pop("logger")
        clock = line.pop("timestamp")[11:23]
        exception = line.pop("exception", None)
        fields = " ".join(f"{key}={value}" for key, value in line.items())
        name = logger.removeprefix("tradecast.")
        text = one_line(f"{name}: {event} {fields}".rstrip())
        head = f"{clock} {level:7}"
        if sys.stderr.isatty():
            head = f"\x1b[2m{clock}\x1b[0m \x1b[{_COLOURS.get(level, '0')}m{level:7}\x1b[0m"
        return "\n".join([f"{head} {text}", *_exception_lines(exception)])


def render_record(record: logging.LogRecord) -> dict[str, Any]:
    """A record as the fields that may be shown."""
    own = hasattr(record, _FIELDS)
    event = _shown_sentence(record.msg) if own else scrub_text(_read_message(record), foreign=True)
    line = _make_head(record.created, record.levelname.lower(), record.name, event)
    if own:
        _add_fields(line, getattr(record, _FIELDS))
    else:
        _add_fields(line, structlog.contextvars.get_contextvars(), foreign=True)
    error = _error_of(record)
    if error is not None:
        line["exception"] = describe_exception(error)
    return line


def _make_head(created: float, level: str, logger: str, event: str) -> dict[str, Any]:
    return {"timestamp": format_time(created), "level": level, "logger": logger, "event": event}


def _add_fields(line: dict[str, Any], fields: Mapping[str, Any], *, foreign: bool = False) -> None:
    for key, value in fields.items():
        name, denied = _shown_key(key)
        if denied:
            line[name] = HIDDEN
        elif not foreign and key in _FEW and type(value) is str:
            line[name] = _shown_sentence(value)
        else:
            line[name] = redact_value(value, foreign=foreign and key not in _CONTEXT)


# Fields of our own lines that take few values.
_FEW = ("event_name", "transport", "reason", "code")


@lru_cache(maxsize=1_000)
def _shown_sentence(event: str) -> str:
    """What one of our own lines says, or a field of it that takes few values."""
    return scrub_text(event)


@lru_cache(maxsize=1_000)
def _shown_key(key: object) -> tuple[str, bool]:
    """A field's name as it is written, and whether its value is hidden."""
    text = str(key)
    return f"{text}_" if text in _RESERVED else scrub_text(text), is_denied(text)


# made by the server, and long enough to look like a sid
_CONTEXT = ("connection_id", "request_id")


def _read_message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:
        text = str(record.msg)
    # asyncio adds the repr of handles, tasks and their exceptions, which may hold anything
    return re.split(r"[(<\n]", text, maxsplit=1)[0].rstrip() if record.name == "asyncio" else text


def _error_of(record: logging.LogRecord) -> BaseException | None:
    info: Any = record.exc_info
    if isinstance(info, BaseException):
        return info
    return info[1] if isinstance(info, tuple) and len(info) > 1 else None


def _exception_lines(exception: dict[str, Any] | None, indent: str = "    ") -> list[str]:
    if exception is None:
        return []
    message = f": {exception['message']}" if "message" in exception else ""
    lines = [one_line(f"{indent}{exception['type']}{message}")]
    lines += [one_line(f"{indent}  {frame}") for frame in exception["frames"]]
    for one in exception.get("exceptions", ()):
        lines += _exception_lines(one, indent + "  ")
    return lines + _exception_lines(exception.get("cause"), indent)


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"
