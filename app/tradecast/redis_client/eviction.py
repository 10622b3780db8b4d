"""Whether Redis throws keys away when its memory is full, as it says itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import ResponseError

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.cluster import ClusterClient

NO_EVICTION: Final = "noeviction"
REMEDY: Final = "set maxmemory-policy to noeviction"
log = structlog.stdlib.get_logger("tradecast.adapter")


@dataclass(frozen=True, slots=True)
class Eviction:
    """What an instance of Redis says of eviction, or of several the worst.

    Attributes:
        policy: Its `maxmemory_policy`; "" if it does not tell (no permission for INFO, or another product).
        evicted: Keys that were evicted since it was started.
    """

    policy: str = ""
    evicted: int = 0

    @property
    def may_evict(self) -> bool | None:
        """Whether keys may be evicted; None: nobody knows. The policy counts where no limit is set, too: one may be."""
        return self.policy != NO_EVICTION if self.policy else None


async def find_eviction(redis: RedisClient) -> Eviction:
    """Ask Redis, and of a cluster each master, by INFO: CONFIG is often forbidden. `tradecast check` asks this too.

    Raises:
        redis.exceptions.RedisError: It does not answer.
    """
    try:
        if isinstance(redis, ClusterClient):
            return worst_of([read_eviction(about) for about in await redis.ask_masters("INFO")])
        return read_eviction(await redis.execute_command("INFO"))  # type: ignore[no-untyped-call]
    except ResponseError:  # no permission
        return Eviction()


def read_eviction(about: object) -> Eviction:
    """What is in an answer to INFO."""
    if not isinstance(about, Mapping):
        return Eviction()
    policy, evicted = about.get("maxmemory_policy"), about.get("evicted_keys")
    return Eviction(policy if isinstance(policy, str) else "", evicted if isinstance(evicted, int) else 0)


def worst_of(found: Sequence[Eviction]) -> Eviction:
    """Of several instances: one that evicts, else one of which nobody knows, else one that does not."""
    evicted = sum(one.evicted for one in found)
    rank: Any = {True: 0, None: 1, False: 2}
    worst = min(found, key=lambda one: rank[one.may_evict], default=Eviction())
    return Eviction(worst.policy, evicted)


class EvictionWatch:
    """Looks now and then, and tells when that has changed."""

    def __init__(self) -> None:
        self._found: dict[str, Eviction] = {}

    @property
    def found(self) -> Eviction:
        """The worst of all that was looked at last."""
        return worst_of(list(self._found.values()))

    async def look(self, name: str, redis: RedisClient) -> Eviction:
        """Look at one Redis, which is called `name` here. Raises as `find_eviction`."""
        before, found = self._found.get(name), await find_eviction(redis)
        self._found[name] = found
        if found.may_evict and (before is None or before.policy != found.policy):
            log.warning(
                "Redis evicts keys when its memory is full: clients begin anew, and sessions end",
                url=name,
                policy=found.policy,
                remedy=REMEDY,
            )
        elif found.evicted > (before.evicted if before is not None else 0):
            log.warning("Redis has evicted keys", url=name, policy=found.policy, keys=found.evicted, remedy=REMEDY)
        elif before is not None and before.may_evict and found.may_evict is False:
            log.info("Redis evicts no keys any more", url=name)
        return found
