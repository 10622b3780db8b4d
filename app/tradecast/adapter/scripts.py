"""Lua scripts in Redis: sent once, then called by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from tradecast.adapter.cluster_client import ClusterClient
from tradecast.adapter.redis import RedisClient, without_errors

Argument = str | int
CHUNK = 200


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

    async def run_many(self, redis: RedisClient, calls: Iterable[tuple[Sequence[str], Sequence[Argument]]]) -> None:
        """Run it for many keys, pipelined, some hundreds in a round trip.

        Raises:
            redis.exceptions.RedisError: One of them failed; those before it are done.
        """
        waiting = list(calls)
        for start in range(0, len(waiting), CHUNK):
            if isinstance(redis, ClusterClient):
                await self._run_in_cluster(redis, waiting[start : start + CHUNK])
                continue
            async with redis.pipeline(transaction=False) as pipeline:
                pipeline.script_load(self.source)
                for keys, arguments in waiting[start : start + CHUNK]:
                    pipeline.evalsha(self.digest, len(keys), *keys, *arguments)
                await pipeline.execute()

    async def _run_in_cluster(
        self, cluster: ClusterClient, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]
    ) -> None:
        # Not loaded first, as that would need every master, those included that none of the keys is on.
        for name, text in (("EVALSHA", self.digest), ("EVAL", self.source)):
            commands = [(keys[0], (name, text, len(keys), *keys, *arguments)) for keys, arguments in calls]
            answers = await cluster.run_all(commands)
            without_errors([answer for answer in answers if not isinstance(answer, NoScriptError)])
            calls = [call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, NoScriptError)]
            if not calls:
                return
