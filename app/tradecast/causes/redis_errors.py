"""Errors of Redis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tradecast.causes.chain import compile_pattern, is_named
from tradecast.causes.codes import Code
from tradecast.causes.places import Place

# Classes of redis-py, and the words of Redis where it has none (in a script, an error has no class of its own).
_REDIS: Final[Sequence[tuple[tuple[str, ...], re.Pattern[str] | None, Code]]] = (
    ((), compile_pattern(r"max number of clients"), Code.TOO_MANY_CLIENTS),
    ((), compile_pattern(r"authentication required|\bNOAUTH\b"), Code.PASSWORD_WANTED),
    ((), compile_pattern(r"without any password configured|no password is set"), Code.PASSWORD_UNEXPECTED),
    (
        ("NoPermissionError",),
        compile_pattern(r"has no permissions|executing the script can't|\bNOPERM\b|can't publish to the channel"),
        Code.NO_PERMISSION,
    ),
    (
        ("AuthenticationError", "AuthorizationError"),
        compile_pattern(r"\bWRONGPASS\b|invalid password"),
        Code.PASSWORD_WRONG,
    ),
    ((), compile_pattern(r"cluster support disabled|cluster mode is not enabled"), Code.IS_NO_CLUSTER),
    ((), compile_pattern(r"not allowed in cluster mode"), Code.IS_CLUSTER),
    (("MasterDownError",), compile_pattern(r"\bMASTERDOWN\b"), Code.MASTER_AWAY),  # is a ClusterDownError
    (
        ("ClusterDownError", "SlotNotCoveredError"),
        compile_pattern(r"\bCLUSTERDOWN\b|has the slot|serves the slot|slot not served|slots? (are|is) not covered"),
        Code.CLUSTER_DOWN,
    ),
    ((), compile_pattern(r"unknown command .?sentinel"), Code.IS_NO_SENTINEL),
    (("MasterNotFoundError", "SlaveNotFoundError"), compile_pattern(r"no master found"), Code.NO_MASTER),
    (("BusyLoadingError",), compile_pattern(r"\bLOADING\b"), Code.LOADING),
    (("ReadOnlyError",), compile_pattern(r"\bREADONLY\b|read only replica"), Code.READ_ONLY),
    (("OutOfMemoryError",), compile_pattern(r"used memory > 'maxmemory'"), Code.OUT_OF_MEMORY),
    ((), re.compile(r"\bMISCONF\b"), Code.DISK_TROUBLE),
    ((), re.compile(r"\bNOREPLICAS\b"), Code.TOO_FEW_REPLICAS),
    ((), re.compile(r"\bDENIED\b|protected mode"), Code.PROTECTED),
    ((), re.compile(r"^BUSY\b", re.MULTILINE), Code.BUSY),
    ((), re.compile(r"\bDB index\b|\bSELECT\b"), Code.NO_DATABASE),
    ((), compile_pattern(r"no connection available|too many connections"), Code.NO_CONNECTION_FREE),
)
_COMMAND: Final = re.compile(r"'([A-Za-z|]{1,40})' command")
_UNKNOWN: Final = re.compile(r"unknown (?:sub)?command.{0,4}?'?([A-Za-z]{2,20})\b")
_HTTP: Final = re.compile(r"""got "[H<]" as reply type""")


def recognize_redis(chain: Sequence[BaseException], texts: str, place: Place) -> tuple[Code, str] | None:
    """What Redis answered with, and what it is about; None: it did not answer.

    Args:
        chain: The errors.
        texts: Their texts.
        place: What was asked.
    """
    if place.kind != "cluster" and any(
        is_named(one, "AskError", "MovedError", "ClusterCrossSlotError") for one in chain
    ):
        return Code.IS_CLUSTER, ""
    for names, pattern, code in _REDIS:
        if any(is_named(one, *names) for one in chain) or (pattern is not None and pattern.search(texts)):
            if code == Code.PASSWORD_WRONG and not place.authenticated:
                code = Code.PASSWORD_WANTED
            return code, _name_forbidden(texts) if code == Code.NO_PERMISSION else ""
    if any(is_named(one, "InvalidResponse") for one in chain) or "Protocol error" in texts:
        return (Code.SPEAKS_HTTP, "") if _HTTP.search(texts) else (Code.OTHER_SERVICE, "something else")
    if (found := _UNKNOWN.search(texts)) is not None:
        return Code.UNKNOWN_COMMAND, f" ({found[1].upper()})"
    return None


def _name_forbidden(texts: str) -> str:
    if (command := _COMMAND.search(texts)) is not None:
        return f"the command {command[1].upper().replace('|', ' ')}"
    if "channel" in texts:
        return "a channel that is needed"
    if "key" in texts:
        return "a key that is needed"
    return "a command that is needed"
