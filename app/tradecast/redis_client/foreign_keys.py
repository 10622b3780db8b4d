"""Which errors of Redis are about what lies under one key, and which are about Redis itself."""

from __future__ import annotations

import re
from typing import Final

from redis.exceptions import ResponseError

# What only a key can be the cause of. Lua's own errors are among them: our scripts raise none unless a value is none
# of ours.
_OF_KEY: Final = re.compile(
    r"WRONGTYPE|wrong kind of value"
    r"|(?:is|are) not an? (?:valid )?(?:integer|float|number)|out of range"
    r"|increment or decrement would (?:overflow|produce)|would produce NaN|resulting score is not a number"
    r"|string exceeds maximum allowed size"
    r"|attempt to (?:perform|compare|index|concatenate|call|get length)|bad argument"
)
# Before Redis 7 a script's error is quoted within another one, its code included.
_OF_SERVER: Final = re.compile(
    r"\b(?:BUSY|CLUSTERDOWN|CROSSSLOT|EXECABORT|LOADING|MASTERDOWN|MISCONF|MOVED|NOAUTH|NOPERM|NOREPLICAS|NOSCRIPT"
    r"|OOM|READONLY|TRYAGAIN|UNKILLABLE|WRONGPASS|ACL failure)\b"
    r"|DB index|read only replica|maxmemory|No permissions"
)


def is_of_key(error: object) -> bool:
    """Whether a request failed because of what lies under its keys: another type, or a value that is none of ours.

    Everything else is about Redis as a whole, as is whatever is not known: no answer, LOADING, READONLY, OOM, NOPERM,
    MASTERDOWN, CLUSTERDOWN, MISCONF, NOSCRIPT, BUSY, …
    """
    if type(error) is not ResponseError:  # redis-py has classes for most of the others
        return False
    text = str(error)
    return _OF_KEY.search(text) is not None and _OF_SERVER.search(text) is None
