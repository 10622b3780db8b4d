"""Lua scripts in Redis: sent once, then called by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import is_key_error
from tradecast.redis_client.topology import raise_errors

Argument = str | int
Call = tuple[Sequence[str], Sequence[Argument]]
CHUNK = 200
# For scripts whose one key all servers share: a value of another type under it would stop them all, and is deleted.
# Lua: `own(key, type)`.
OWN = """
local function own(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
"""


def user_tag(user_id: str) -> str:
    """A user as part of a key, in the braces that keep all keys of one user in one slot of a Redis Cluster.

    A digest: ids of any length and content make keys of one length, and keys shown by MONITOR or SLOWLOG name nobody.
    """
    return "{" + hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest() + "}"


class Script:
    """A script and its digest.

    Args:
        source: The Lua text. It takes its clock from Redis (`TIME`), so that servers need not agree on the time.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324 Redis' name for it, not a secret

    async def run(self, redis: RedisClient, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run it; its text is sent only where Redis does not know it (any more).

        Raises:
            redis.exceptions.RedisError: Redis refused, or is not reachable.
        """
        try:
            return await redis.evalsha(self.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self.source, len(keys), *keys, *arguments)

    async def run_many(self, redis: RedisClient, calls: Iterable[Call]) -> list[Call]:
        """Run it for many keys, pipelined, some hundreds in a round trip.

        Returns:
            The calls that failed because of what lies under their keys (`is_key_error`); all others are done.

        Raises:
            redis.exceptions.RedisError: Redis refused, or is not reachable; some of it may be done.
        """
        waiting = list(calls)
        failed: list[Call] = []
        for start in range(0, len(waiting), CHUNK):
            failed += await self._run_some(redis, waiting[start : start + CHUNK])
        return failed

    async def _run_some(self, redis: RedisClient, calls: list[Call]) -> list[Call]:
        failed: list[Call] = []
        # Not loaded first: in a cluster that would need every master, those included that none of the keys is on.
        for name, text in (("EVALSHA", self.digest), ("EVAL", self.source)):
            commands = [(keys[0], (name, text, len(keys), *keys, *arguments)) for keys, arguments in calls]
            unknown: list[Call] = []
            for call, answer in zip(calls, await redis.run_all(commands), strict=True):
                if isinstance(answer, NoScriptError):
                    unknown.append(call)
                elif isinstance(answer, ResponseError) and is_key_error(answer):
                    failed.append(call)
                else:
                    raise_errors([answer])
            if not unknown:
                break
            calls = unknown
        return failed


def decode_reply(value: object) -> str:
    """A part of a reply of Redis as text, whether the client decodes replies or not."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
