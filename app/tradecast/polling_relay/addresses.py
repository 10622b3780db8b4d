"""The registry of servers that have an address: each keeps its own in Redis under a lease, and reads the others'.

Beside it is the key that they share. Whoever can write to this Redis can send servers to any address and sign as one of
them, as they can read and end every session there: Redis is trusted. So the key needs no secret of its own. The first
server makes it at random.

There are two more registries of live servers, which fail in other ways: `cluster_rpc.heartbeats` has those that can be
asked now, and `lifecycle` those of each revision.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import secrets
import socket
import time
from collections.abc import Callable

import structlog

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.script import OWN, Argument, Script, decode_reply

Address = tuple[str, int]
# In braces, so that a Redis Cluster keeps both together.
OWNERS = "tradecast:{forwarding}:servers:1"
# As that, of servers that speak TLS. Apart from it, since servers of the version before take no entry with more in it.
SECURED = "tradecast:{forwarding}:tls:1"
KEY = "tradecast:{forwarding}:key:1"
KEY_BYTES = 32
# Seconds: between two refreshes, about; without one until an address is no longer valid; for Redis to answer.
REFRESH_EVERY = 2.0
LEASE = 8.0
PATIENCE = 1.0
# A Redis that lost its data may have two keys for a moment: one of a new server, one that the others bring back.
KEYS_KEPT = 3
MAX_PORT = 65_535
LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(r"([0-9A-Za-z.:_-]{1,253}) (\d{1,5})")
log = structlog.stdlib.get_logger("tradecast.adapter")

# KEYS: a hash, boot id -> "seen host port", in microseconds of Redis' clock; the key. ARGV: the server's boot id, host
# and port ("" for none yet), the lease in microseconds, the key to use if there is none, and host and port for TLS.
# KEYS[3]: as the first, for TLS. The answer: the key, the time in microseconds, then two lists, of which the second one
# is for TLS: boot id, age in microseconds, and host and port of each server whose lease is not over.
_EXCHANGE = Script(
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
local function exchange(servers, own_address)
  if own_address ~= '' then
    redis.call('HSET', servers, ARGV[1], string.format('%.0f ', now) .. own_address)
    redis.call('PEXPIRE', servers, math.ceil(lease / 1000))
  end
  local found = {}
  local all = redis.call('HGETALL', servers)
  for i = 1, #all, 2 do
    local seen, address = string.match(all[i + 1], '^(%d+) (.*)$')
    local age = math.abs(now - (seen or 0))
    if age > lease then
      redis.call('HDEL', servers, all[i])
    else
      found[#found + 1] = all[i]
      found[#found + 1] = string.format('%.0f', age)
      found[#found + 1] = address
    end
  end
  return found
end
local found, secured = exchange(KEYS[1], ARGV[2]), exchange(KEYS[3], ARGV[5])
return {redis.call('GET', KEYS[2]), string.format('%.0f', now), found, secured}
"""
)


class AddressUnavailable(Exception):
    """Redis does not answer, and the address is not known from before."""


class ServerAddresses:
    """The addresses of this fleet's servers, as last read from Redis.

    While Redis is away, known addresses stay known. A server that is missing from an answer stays known until its lease
    expires: perhaps Redis lost its data, and the server is about to write it again.

    Args:
        redis: A client for requests; others may use it too.
        boot: This server's boot id.
        every: Seconds between two refreshes, about.
        lease: Seconds after its last refresh until a server's address is no longer valid.
        patience: Seconds that Redis may take to answer.
        clock: Seconds that never go back.

    Attributes:
        boot: As above.
        keys: The fleet's key, and those that it had before; empty until Redis has answered once.
    """

    def __init__(
        self,
        redis: RedisClient,
        boot: str,
        *,
        every: float = REFRESH_EVERY,
        lease: float = LEASE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self.boot = boot
        self._every = every
        self._lease = lease
        self._patience = patience
        self._clock = clock
        self._own: Address | None = None
        self._own_secured: Address | None = None
        self._new_key = secrets.token_hex(KEY_BYTES)
        self._others: dict[str, tuple[Address, float]] = {}
        self._secured: dict[str, Address] = {}
        self._refreshing: asyncio.Task[bool] | None = None
        self._away = False
        self._ahead = 0.0
        self.keys: tuple[bytes, ...] = ()

    @property
    def other_boots(self) -> frozenset[str]:
        """The boot ids of the other servers that have an address."""
        return frozenset(self._others)

    def now(self) -> float:
        """Seconds since 1970 by Redis' clock, the same for all servers; meaningless as long as `keys` is empty.

        It continues while Redis is away.
        """
        return self._clock() + self._ahead

    async def announce(self, address: Address, secured: Address | None = None) -> None:
        """Publish this server's address; where Redis does not answer, as soon as it does.

        Args:
            address: For servers without TLS.
            secured: For servers with TLS; None: this one has none.
        """
        self._own, self._own_secured = address, secured
        await self.refresh()

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(self._every * random.uniform(0.8, 1.2))  # noqa: S311 no secret
            await self.refresh()

    async def find(self, boot: str) -> Address | None:
        """The address of the server with this boot id; None if there is none (any more).

        Raises:
            AddressUnavailable: Redis does not answer.
        """
        known = self._others.get(boot)
        if known is None:
            # It may be newer than the last refresh: one refresh serves all who ask meanwhile.
            if self._refreshing is None:
                self._refreshing = asyncio.create_task(self.refresh(), name="directory")
                self._refreshing.add_done_callback(self._refreshed)
            answered = await asyncio.shield(self._refreshing)
            known = self._others.get(boot)
            if known is None and not answered:
                raise AddressUnavailable
        return None if known is None else known[0]

    def find_secured(self, boot: str) -> Address | None:
        """The TLS address of a server that `find` has found; None: it speaks no TLS."""
        return self._secured.get(boot)

    def forget(self, boot: str) -> None:
        """Drop an address at which another server answers now."""
        self._others.pop(boot, None)
        self._secured.pop(boot, None)

    async def refresh(self) -> bool:
        """Write this server's address and read the others' once; whether Redis answered. Never raises for Redis."""
        own, secured = (
            "" if one is None else f"{one[0]} {one[1]}" for one in (self._own, self._own and self._own_secured)
        )
        lease = round(self._lease * 1_000_000)
        try:
            async with asyncio.timeout(self._patience):
                arguments: list[Argument] = [self.boot, own, lease, self._new_key, secured]
                key, microseconds, found, others_secured = await _EXCHANGE.run(
                    self._redis, [OWNERS, KEY, SECURED], arguments
                )
        except FAILURES as error:
            if not self._away:
                self._away = True
                log.warning(
                    "addresses of new servers cannot be read: Redis does not answer",
                    **explain_redis(error, self._redis).fields(),
                )
            return False
        self._ahead = int(decode_reply(microseconds)) / 1_000_000 - self._clock()
        self._keep_key(decode_reply(key))
        self._note([decode_reply(item) for item in found], [decode_reply(item) for item in others_secured])
        return True

    async def withdraw(self) -> None:
        """Remove this server's address; does nothing where Redis does not answer."""
        self._own = None
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(self._patience):
                await self._redis.hdel(OWNERS, self.boot)
                await self._redis.hdel(SECURED, self.boot)

    def _note(self, found: list[str], secured: list[str]) -> None:
        now = self._clock()
        if self._away:
            self._away = False
            log.info("server addresses are read from Redis again")
            # Redis may have lost its data; the others write their addresses again when they notice.
            self._others = {boot: (address, now + self._lease) for boot, (address, _) in self._others.items()}
        for boot, (address, age) in _read_entries(found).items():
            if boot != self.boot:
                self._others[boot] = (address, now + self._lease - age)
        for boot in [boot for boot, (_, until) in self._others.items() if until < now]:
            del self._others[boot]
        # A server that spoke TLS does so as long as it is known: a boot id stands for one start.
        self._secured |= {boot: address for boot, (address, _) in _read_entries(secured).items()}
        self._secured = {boot: address for boot, address in self._secured.items() if boot in self._others}

    def _keep_key(self, text: str) -> None:
        if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
            log.error("the relay key in Redis is invalid: requests are not relayed to other servers")
            return
        key = bytes.fromhex(text)
        if self.keys[:1] != (key,):
            self.keys = (key, *(kept for kept in self.keys if kept != key))[:KEYS_KEPT]
            self._new_key = text  # a Redis that lost it is given it again

    def _refreshed(self, task: asyncio.Task[bool]) -> None:
        self._refreshing = None


def _read_entries(entries: list[str]) -> dict[str, tuple[Address, float]]:
    """Addresses by boot id, with their age in seconds; invalid ones are skipped."""
    found: dict[str, tuple[Address, float]] = {}
    for boot, age, text in zip(entries[::3], entries[1::3], entries[2::3], strict=True):
        address = _ADDRESS.fullmatch(text)
        if address is not None and int(address[2]) <= MAX_PORT:
            found[boot] = ((address[1], int(address[2])), int(age) / 1_000_000)
    return found


async def find_own_address(redis: RedisClient) -> str:
    """This machine's IP address on the way to Redis; loopback where there is none. Nothing is sent."""
    host, port = redis.first_host
    if not host:
        return LOOPBACK  # a Unix socket
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # of a datagram socket: it only chooses the route
            return str(probe.getsockname()[0])
    except OSError:
        return LOOPBACK
