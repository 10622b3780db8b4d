"""Which revision each server of a fleet has: each reports to Redis every second, and reads the others' reports."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Literal, Protocol

import structlog

from tradecast.lifecycle.rollout import Rollout, Server, count_takers, is_superseded
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.keys import PREFIX
from tradecast.redis_client.script import OWN, Argument, Script, decode_reply

State = Literal["starting", "ready", "leaving"]
KEY = f"{PREFIX}lifecycle:servers:1"
EVERY = 1.0
LEASE = 4.0
MEMORY = 900.0
PATIENCE = 1.0
log = structlog.stdlib.get_logger("tradecast.lifecycle")

# KEYS: a hash, server id -> "started seen state revision", times in microseconds of Redis' clock. ARGV: the server's
# id, revision and state, when it started if it knows (else 0), lease and memory in microseconds. The answer: when it
# started, then revision, start and state of each server that is alive and not leaving. A server that did not report
# within its lease is not alive, but its start is remembered for a while: a container that crashed comes back under the
# same id. A Redis that lost everything learns the starts from the servers. What lies in the future was written by a
# clock that has been set back, and counts no more than what has expired.
_EXCHANGE = Script(
    OWN
    + """
own(KEYS[1], 'hash')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local report = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local started = string.match(report, '^%d+ %d+ %a+ ') and string.match(report, '^%d+') or ARGV[4]
if started == '0' then started = string.format('%.0f', now) end
redis.call('HSET', KEYS[1], ARGV[1], started .. string.format(' %.0f ', now) .. ARGV[3] .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[6] / 1000))
local answer = {started}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local from, seen, state, revision = string.match(all[i + 1], '^(%d+) (%d+) (%a+) (.*)$')
  local age = math.abs(now - (seen or 0))
  if age > tonumber(ARGV[6]) then
    redis.call('HDEL', KEYS[1], all[i])
  elseif age <= tonumber(ARGV[5]) and state ~= 'leaving' then
    answer[#answer + 1] = revision
    answer[#answer + 1] = from
    answer[#answer + 1] = state
  end
end
return answer
"""
)


class StateSource(Protocol):
    """Knows the state of this server."""

    def state(self) -> State:
        """The state to report to other servers."""
        ...


class RevisionRegistry:
    """Determines whether this server is superseded (`is_superseded`). While Redis does not answer, no server is.

    Args:
        redis: A client for requests; others may use it too.
        server_id: Names this server for as long as its pod lives, container restarts included.
        revision: What was deployed.
        source: Knows the state of this server.
        rollout: Is updated with the result.
        every: Average seconds between refreshes.
        lease: Seconds without a report after which a server counts as gone.
        patience: Timeout of requests to Redis in seconds.

    Attributes:
        servers: The number of servers that are alive and not leaving; 0 while Redis does not answer.
    """

    def __init__(
        self,
        redis: RedisClient,
        server_id: str,
        revision: str,
        source: StateSource,
        rollout: Rollout,
        *,
        every: float = EVERY,
        lease: float = LEASE,
        patience: float = PATIENCE,
    ) -> None:
        self._redis = redis
        self._id = server_id
        self._revision = revision
        self._source = source
        self._rollout = rollout
        self._every = every
        self._lease = lease
        self._patience = patience
        self._started = "0"
        self._away = False
        self.servers = 0

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._every * random.uniform(0.8, 1.2))  # noqa: S311 no secret

    async def refresh(self) -> None:
        """Report this server and read the other servers' reports. Raises nothing if Redis does not answer."""
        try:
            servers = await self._exchange(self._source.state())
        except FAILURES as error:
            self.servers = 0
            if not self._away:
                self._away = True
                log.warning(
                    "other revisions are not known: Redis does not answer", **explain_redis(error, self._redis).fields()
                )
            self._decide(False)
            return
        if self._away:
            self._away = False
            log.info("other revisions are known again")
        self.servers = len(servers)
        self._rollout.takers = count_takers(servers)
        self._decide(is_superseded(self._revision, servers))

    async def leave(self) -> None:
        """Report that this server accepts no more clients. Raises nothing if Redis does not answer."""
        with contextlib.suppress(*FAILURES):
            await self._exchange("leaving")

    async def _exchange(self, state: State) -> list[Server]:
        times = (round(self._lease * 1_000_000), round(MEMORY * 1_000_000))
        arguments: list[Argument] = [self._id, self._revision, state, self._started, *times]
        async with asyncio.timeout(self._patience):
            answer = await _EXCHANGE.run(self._redis, [KEY], arguments)
        self._started, *reports = map(decode_reply, answer)
        return [
            Server(revision, int(started), state == "ready")
            for revision, started, state in zip(reports[::3], reports[1::3], reports[2::3], strict=True)
        ]

    def _decide(self, superseded: bool) -> None:
        if superseded != self._rollout.superseded:
            self._rollout.superseded = superseded
            log.info("superseded: new clients go to newer servers" if superseded else "not superseded any more")
