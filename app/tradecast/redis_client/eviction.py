"""Whether Redis throws keys away when its memory is full, as it says itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import ResponseError

from tradecast.redis_client.client import RedisClient

NO_EVICTION: Final = "noeviction"
REMEDY: Final = "set maxmemory-policy to noeviction"
log = structlog.stdlib.get_logger("tradecast.adapter")


@dataclass(frozen=True, slots=True)
class Eviction:
    """What an instance of Redis says of eviction, or of several the worst.

    Attributes:
        policy: Its `maxmemory_policy`; "" if that is not known (no permission for INFO, or another product).
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
        return find_worst([read_eviction(info) for info in (await redis.read_info()).values()])
    except ResponseError:  # no permission
        return Eviction()


def read_eviction(about: object) -> Eviction:
    """What is in an answer to INFO."""
    if not isinstance(about, Mapping):
        return Eviction()
    policy, evicted = about.get("maxmemory_policy"), about.get("evicted_keys")
    return Eviction(policy if isinstance(policy, str) else "", evicted if isinstance(evicted, int) else 0)


def find_worst(found: Sequence[Eviction]) -> Eviction:
    """Of several instances: one that evicts, else one of which nobody knows, else one that does not."""
    evicted = sum(one.evicted for one in found)
    rank: Any = {True: 0, None: 1, False: 2}
    worst = min(found, key=lambda one: rank[one.may_evict], default=Eviction())
    return Eviction(worst.policy, evicted)


class EvictionWatch:
    """Asks each Redis whether it evicts keys, and logs when that changes."""

    def __init__(self) -> None:
        self._found: dict[str, Eviction] = {}

    @property
    def found(self) -> Eviction:
        """The worst of all, as they answered last."""
        return find_worst(list(self._found.values()))

    async def check(self, name: str, redis: RedisClient) -> Eviction:
        """Ask one Redis, which is called `name` in logs. Raises as `find_eviction`."""
        before, found = self._found.get(name), await find_eviction(redis)
        self._found[name] = found
        if found.may_evict and (before is None or before.policy != found.policy):
            log.warning(
                "Redis evicts keys when its memory is full: clients start new sessions, and log-ins end",
                url=name,
                policy=found.policy,
                remedy=REMEDY,
            )
        elif found.evicted > (before.evicted if before is not None else 0):
            log.warning("Redis has evicted keys", url=name, policy=found.policy, keys=found.evicted, remedy=REMEDY)
        elif before is not None and before.may_evict and found.may_evict is False:
            log.info("Redis evicts no keys any more", url=name)
        return found
