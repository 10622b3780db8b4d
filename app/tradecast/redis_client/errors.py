"""Errors of Redis: where they come from, what they mean, and whether only one key is to blame."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from redis.exceptions import RedisError, ResponseError

from tradecast.causes import Cause, explain_error
from tradecast.redis_client.topology import RedisTopology

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What makes Redis count as away: no connection, no answer in time, or a refusal (read-only, out of memory, …)."""
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


def is_key_error(error: object) -> bool:
    """Whether a request failed because of what lies under its keys: another type, or a value that is none of ours.

    Everything else is about Redis as a whole, as is whatever is not known: no answer, LOADING, READONLY, OOM, NOPERM,
    MASTERDOWN, CLUSTERDOWN, MISCONF, NOSCRIPT, BUSY, …
    """
    if type(error) is not ResponseError:  # redis-py has classes for most of the others
        return False
    text = str(error)
    return _OF_KEY.search(text) is not None and _OF_SERVER.search(text) is None


@contextlib.contextmanager
def mark_place(redis: RedisTopology) -> Iterator[None]:
    """Note in errors which of several Redis they come from; `causes.explain` reads that."""
    try:
        yield
    except Exception as error:
        error.__dict__.setdefault("place", redis.place)
        raise


def explain_redis(error: BaseException, redis: RedisTopology) -> Cause:
    """What an error of a client means."""
    return explain_error(error, redis.place)
