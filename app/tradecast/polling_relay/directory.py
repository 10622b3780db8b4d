"""Who is where: each server keeps its address in Redis under a lease, and reads the others'; with the key they share.

Whoever can write to this Redis can send servers to any address and sign as one of them, as they can read and end every
session there: it is trusted. So the key needs no secret of its own. The first server makes it at random.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import secrets
import time
from collections.abc import Callable

import structlog

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES
from tradecast.redis_client.place import explain_redis
from tradecast.redis_client.script import OWN, Argument, Script

Address = tuple[str, int]
# In braces, so that a Redis Cluster keeps both together.
OWNERS = "tradecast:{forwarding}:servers:1"
# As that, of servers that speak TLS. Apart from it, since servers of the version before take no entry with more in it.
SECURED = "tradecast:{forwarding}:tls:1"
KEY = "tradecast:{forwarding}:key:1"
KEY_BYTES = 32
EVERY = 2.0
LEASE = 8.0
PATIENCE = 1.0
# A Redis that lost its data may have two keys for a moment: one of a new server, one that the others bring back.
KEYS_KEPT = 3
MAX_PORT = 65_535
_ADDRESS = re.compile(r"([0-9A-Za-z.:_-]{1,253}) (\d{1,5})")
log = structlog.stdlib.get_logger("tradecast.adapter")

# KEYS: a hash, boot id -> "seen host port", in microseconds of Redis' clock; the key. ARGV: the server's boot id, host
# and port ("" for none yet), the lease in microseconds, the key to use if there is none, and host and port for TLS.
# KEYS[3]: as the first, for TLS. The answer: the key, the time in microseconds, then two lists, of which the second one
# is for TLS: boot id, age in microseconds, and host and port of each server whose lease is not over.
_TELL = Script(
    OWN
    + """
own(KEYS[1], 'hash')
own(KEYS[2], 'string')
own(KEYS[3], 'hash')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease = tonumber(ARGV[3])
-- A key of another form has another name: what is none is somebody's mistake, and servers must agree on one.
local key = redis.call('GET', KEYS[2]) or ''
if #key ~= #ARGV[4] or string.find(key, '[^0-9a-f]') then redis.call('SET', KEYS[2], ARGV[4]) end
local function tell(servers, own_address)
  if own_address ~= '' then
    redis.call('HSET', servers, ARGV[1], string.format('%.0f ', now) .. own_address)
    redis.call('PEXPIRE', servers, math.ceil(lease / 1000))
  end
  local told = {}
  local all = redis.call('HGETALL', servers)
  for i = 1, #all, 2 do
    local seen, address = string.match(all[i + 1], '^(%d+) (.*)$')
    local age = math.abs(now - (seen or 0))
    if age > lease then
      redis.call('HDEL', servers, all[i])
    else
      told[#told + 1] = all[i]
      told[#told + 1] = string.format('%.0f', age)
      told[#told + 1] = address
    end
  end
  return told
end
local told, secured = tell(KEYS[1], ARGV[2]), tell(KEYS[3], ARGV[5])
return {redis.call('GET', KEYS[2]), string.format('%.0f', now), told, secured}
"""
)


class DirectoryAway(Exception):
    """Redis does not answer, and what is asked for is not known already."""


class Directory:
    """The servers of this fleet, as last read from Redis.

    Who is known stays known while Redis is away. A server that is missing from an answer is known until its lease would
    be over: perhaps Redis lost its data, and the server is about to tell it again.

    Args:
        redis: A client for requests; others may use it too.
        boot: This server's boot id.
        every: Seconds between looks, about.
        lease: Seconds of silence after which a server is not there any more.
        patience: Seconds that Redis may take to answer.
        clock: Seconds that never go back.

    Attributes:
        keys: The fleet's key, and those that it had before; empty until Redis has answered once.
    """

    def __init__(
        self,
        redis: RedisClient,
        boot: str,
        *,
        every: float = EVERY,
        lease: float = LEASE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._boot = boot
        self._every = every
        self._lease = lease
        self._patience = patience
        self._clock = clock
        self._own: Address | None = None
        self._own_secured: Address | None = None
        self._new_key = secrets.token_hex(KEY_BYTES)
        self._others: dict[str, tuple[Address, float]] = {}
        self._secured: dict[str, Address] = {}
        self._looking: asyncio.Task[bool] | None = None
        self._away = False
        self._ahead = 0.0
        self.keys: tuple[bytes, ...] = ()

    @property
    def others(self) -> int:
        """How many other servers are known."""
        return len(self._others)

    @property
    def boots(self) -> frozenset[str]:
        """Their boot ids."""
        return frozenset(self._others)

    def now(self) -> float:
        """Seconds since 1970 by Redis' clock, the same for all servers; of no meaning as long as `keys` is empty.

        While Redis is away it goes on.
        """
        return self._clock() + self._ahead

    async def announce(self, address: Address, secured: Address | None = None) -> None:
        """Be found at this address from now on; where Redis does not answer, as soon as it does.

        Args:
            address: For servers without TLS.
            secured: For those that have it; None: this one has none.
        """
        self._own, self._own_secured = address, secured
        await self.look()

    async def run(self) -> None:
        """Tell and look until cancelled."""
        while True:
            await asyncio.sleep(self._every * random.uniform(0.8, 1.2))  # noqa: S311 no secret
            await self.look()

    async def find(self, boot: str) -> Address | None:
        """Where the server of this boot id is; None if there is none (any more).

        Raises:
            DirectoryAway: That cannot be told now.
        """
        known = self._others.get(boot)
        if known is None:
            # It may have come since the last look: one look for all that ask meanwhile.
            if self._looking is None:
                self._looking = asyncio.create_task(self.look(), name="directory")
                self._looking.add_done_callback(self._looked)
            answered = await asyncio.shield(self._looking)
            known = self._others.get(boot)
            if known is None and not answered:
                raise DirectoryAway
        return None if known is None else known[0]

    def find_secured(self, boot: str) -> Address | None:
        """Where a server that `find` has found speaks TLS; None: it does not."""
        return self._secured.get(boot)

    def forget(self, boot: str) -> None:
        """Somebody else is at this server's address."""
        self._others.pop(boot, None)
        self._secured.pop(boot, None)

    async def look(self) -> bool:
        """Tell and look once, and return whether Redis answered; never raises because of it."""
        own, secured = (
            "" if one is None else f"{one[0]} {one[1]}" for one in (self._own, self._own and self._own_secured)
        )
        lease = round(self._lease * 1_000_000)
        try:
            async with asyncio.timeout(self._patience):
                arguments: list[Argument] = [self._boot, own, lease, self._new_key, secured]
                key, microseconds, told, others_secured = await _TELL.run(
                    self._redis, [OWNERS, KEY, SECURED], arguments
                )
        except FAILURES as error:
            if not self._away:
                self._away = True
                log.warning(
                    "servers that are new are not known: Redis does not answer",
                    **explain_redis(error, self._redis).fields(),
                )
            return False
        self._ahead = int(_text(microseconds)) / 1_000_000 - self._clock()
        self._keep_key(_text(key))
        self._note([_text(item) for item in told], [_text(item) for item in others_secured])
        return True

    async def leave(self) -> None:
        """Be found no more; silently nothing where Redis does not answer."""
        self._own = None
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(self._patience):
                await self._redis.hdel(OWNERS, self._boot)
                await self._redis.hdel(SECURED, self._boot)

    def _note(self, told: list[str], secured: list[str]) -> None:
        now = self._clock()
        if self._away:
            self._away = False
            log.info("servers are known again")
            # It may have come back empty, and the others tell it of themselves when they notice.
            self._others = {boot: (address, now + self._lease) for boot, (address, _) in self._others.items()}
        for boot, (address, age) in _read(told).items():
            if boot != self._boot:
                self._others[boot] = (address, now + self._lease - age)
        for boot in [boot for boot, (_, until) in self._others.items() if until < now]:
            del self._others[boot]
        # Who spoke TLS does so as long as it is known: a boot id is of one start.
        self._secured |= {boot: address for boot, (address, _) in _read(secured).items()}
        self._secured = {boot: address for boot, address in self._secured.items() if boot in self._others}

    def _keep_key(self, text: str) -> None:
        if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
            log.error("the key in Redis is none: requests are not passed on to other servers")
            return
        key = bytes.fromhex(text)
        if self.keys[:1] != (key,):
            self.keys = (key, *(kept for kept in self.keys if kept != key))[:KEYS_KEPT]
            self._new_key = text  # a Redis that lost it is given it again

    def _looked(self, task: asyncio.Task[bool]) -> None:
        self._looking = None


def _read(told: list[str]) -> dict[str, tuple[Address, float]]:
    """Addresses by boot id, with their age in seconds; what is none is passed over."""
    found: dict[str, tuple[Address, float]] = {}
    for boot, age, text in zip(told[::3], told[1::3], told[2::3], strict=True):
        address = _ADDRESS.fullmatch(text)
        if address is not None and int(address[2]) <= MAX_PORT:
            found[boot] = ((address[1], int(address[2])), int(age) / 1_000_000)
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
