"""Errors of MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradecast.causes.chain import compile_pattern, is_named
from tradecast.causes.codes import Code
from tradecast.causes.network_errors import is_refused
from tradecast.causes.places import Place

_ELECTING: Final = (91, 189, 10107, 11600, 11602, 13435, 13436)
_REPLICA_SET: Final = compile_pattern(r"replica set (named|name)|not a member of|setname")
_PRIMARY: Final = compile_pattern(r"no primary|no replica set members|not (primary|master)|notwritableprimary")
_TIMED_OUT_MEMBER: Final = compile_pattern(r":\d+: timed out")
_ACTION: Final = compile_pattern(r"\(action: ([a-z]{1,30})\)|to execute command \{ ([a-z]{1,30}):")


def recognize_mongodb(chain: Sequence[BaseException], texts: str, place: Place) -> tuple[Code, str] | None:
    """Recognize an error of MongoDB, as `recognize_redis` does; also for our own servers, which have no such errors."""
    codes = {getattr(one, "code", None) for one in chain if is_named(one, "OperationFailure")}
    if codes & {18, 8000} or "authentication failed" in texts.lower():
        return Code.PASSWORD_WRONG, ""
    if 13 in codes:
        if "requires authentication" in texts:
            return Code.PASSWORD_WANTED, ""
        action = _ACTION.search(texts)
        return Code.NO_PERMISSION, f"the command {action[1] or action[2]}" if action else "a command that is needed"
    if "wire version" in texts or 352 in codes:
        return Code.UNSUPPORTED_VERSION, ""
    if _REPLICA_SET.search(texts):
        return Code.OTHER_REPLICA_SET, ""
    if is_refused(chain, texts):
        return Code.REFUSED, ""  # of members that are down, rather than what follows from that
    if codes & set(_ELECTING) or (_PRIMARY.search(texts) and not _TIMED_OUT_MEMBER.search(texts)):
        return Code.NO_PRIMARY, ""
    if any(is_named(one, "ProtocolError", "InvalidBSON") for one in chain):
        return Code.OTHER_SERVICE, "something else"
    return None
