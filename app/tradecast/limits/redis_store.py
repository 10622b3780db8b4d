"""Rate limits and quotas over all servers, in Redis. Each decision is one atomic script with Redis' own clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from redis.exceptions import NoPermissionError, RedisError

from tradecast.limits.quota import LEASE, Kind, Lease
from tradecast.limits.rates import Check, Refusal
from tradecast.limits.windows import BUCKETS, bucket_width
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import is_key_error
from tradecast.redis_client.keys import PREFIX
from tradecast.redis_client.script import Argument, Call, Script, user_tag

Limit = Literal["rates", "quotas"]


class ForeignKeyObserver(Protocol):
    """Receives requests that met data that is none of ours."""

    def foreign_key(self, of: str) -> None:
        """Foreign data was found under keys of a user's `rates` or `quotas`."""
        ...


class Unobserved(ForeignKeyObserver):
    """Ignores everything."""

    def foreign_key(self, of: str) -> None:
        """Nothing."""


# KEYS: a hash per limit. ARGV: bucket width in ms, number of buckets, then each key's limit. The answer is 0, or which
# limit is exhausted, and in how many ms its oldest bucket leaves the window, so that one more may pass. A hash holds a
# count per bucket, their sum `n` and the newest bucket `b`: expired ones are subtracted once per bucket, so that most
# calls read two fields. As in windows.py, a clock that steps back stands still; but not for longer than the window, or
# a bucket that no clock has written would be the newest for ever. Nor does a sum count that no bucket has a part in.
_HIT = Script("""
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000 + time[2] / 1000) / ARGV[1])
local buckets = tonumber(ARGV[2])
local newest = {}
for i, key in ipairs(KEYS) do
  local state = redis.call('HMGET', key, 'n', 'b')
  local total, last = tonumber(state[1] or 0), tonumber(state[2] or now)
  local bucket = math.max(now, last)
  if last - now > buckets then bucket = now end
  newest[i] = bucket
  if math.abs(bucket - last) > buckets then
    redis.call('DEL', key)
    total = 0
  elseif bucket > last and total > 0 then
    local over = {}
    for old = last - buckets, bucket - buckets - 1 do over[#over + 1] = string.format('%.0f', old) end
    for _, count in ipairs(redis.call('HMGET', key, unpack(over))) do total = total - (count or 0) end
    redis.call('HDEL', key, unpack(over))
    redis.call('HSET', key, 'n', total, 'b', string.format('%.0f', bucket))
  end
  if total >= tonumber(ARGV[2 + i]) then
    local names = {}
    for old = bucket - buckets, bucket do names[#names + 1] = string.format('%.0f', old) end
    for n, count in ipairs(redis.call('HMGET', key, unpack(names))) do
      if tonumber(count or 0) > 0 then
        return {i, math.ceil((bucket + n) * ARGV[1] - time[1] * 1000 - time[2] / 1000)}
      end
    end
    if total <= 0 or tonumber(ARGV[2 + i]) <= 0 then return {i, 0} end
    redis.call('DEL', key)
  end
end
for i, key in ipairs(KEYS) do
  local bucket = string.format('%.0f', newest[i])
  redis.call('HINCRBY', key, bucket, 1)
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HSET', key, 'b', bucket)
  redis.call('PEXPIRE', key, ARGV[1] * (buckets + 2))
end
return {0, 0}
""")

# KEYS: a sorted set, member -> end of its lease in ms. ARGV: lease in ms, limit, members. The key lives as long as the
# last of them, which one that was lost may be.
_ACQUIRE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local fresh = 0
for i = 3, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then fresh = fresh + 1 end
end
if fresh > 0 and redis.call('ZCARD', KEYS[1]) + fresh > tonumber(ARGV[2]) then return 0 end
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
""")

# KEYS: as above. ARGV: how long these are still held, in ms; members.
_LOSE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i]) end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
""")

# KEYS: as above. ARGV: lease in ms, members.
_RENEW = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
""")

_COUNT = Script("""
local time = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), '+inf')
""")

# KEYS: as above. ARGV: members.
_RELEASE = Script("return redis.call('ZREM', KEYS[1], unpack(ARGV))")
# Lua's unpack takes thousands of values, not any number.
_MEMBERS = 500


class RedisRateStore:
    """`RateStore` in Redis: a hash per user and limit, gone a window after the last event.

    Foreign data under a user's keys is removed.

    Args:
        redis: A client.
        observer: Receives each request that met foreign data.

    Raises:
        redis.exceptions.RedisError: From every method, when Redis refuses or is not reachable.
    """

    def __init__(self, redis: RedisClient, observer: ForeignKeyObserver | None = None) -> None:
        self._redis = redis
        self._observer = observer or Unobserved()

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        refusal = await self.try_hit(user_id, checks, window_ms)
        return None if refusal is None else refusal.limit

    async def try_hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> Refusal | None:
        """As `hit`, and for how long the limit is exhausted."""
        tag = user_tag(user_id)
        width = bucket_width(window_ms)
        keys = [f"{PREFIX}rate:{tag}:{name}:{width}" for name, _ in checks]
        arguments = [width, BUCKETS, *(limit for _, limit in checks)]
        number, wait_ms = await _run_cleared(self._redis, _HIT, keys, arguments, self._observer, "rates")
        return Refusal(checks[int(number) - 1][0], int(wait_ms) / 1000) if int(number) else None

    async def users_everywhere(self, name: str) -> Sequence[str]:
        """Ids made of a name, such that each master of a cluster has the limits of one of them; one for one Redis."""
        return await self._redis.vary_name(name, user_tag)


class RedisQuotaStore:
    """`QuotaStore` in Redis: a sorted set per user and kind.

    Foreign data under such a key is removed. A key that stays unusable does not stop the others.

    Args:
        redis: A client.
        lease: Seconds that a member counts without being renewed.
        observer: Receives each request that met foreign data.

    Raises:
        redis.exceptions.RedisError: From every method, when Redis refuses or is not reachable.
    """

    def __init__(self, redis: RedisClient, lease: float = LEASE, observer: ForeignKeyObserver | None = None) -> None:
        self._redis = redis
        self._observer = observer or Unobserved()
        self._lease_ms = max(1, round(lease * 1000))

    async def acquire(self, kind: Kind, user_id: str, member: str, limit: int) -> bool:
        return await self.acquire_all(kind, user_id, (member,), limit)

    async def acquire_all(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        return bool(await self._run(_ACQUIRE, _quota_key(kind, user_id), [self._lease_ms, limit, *members]))

    async def release(self, leases: Iterable[Lease]) -> None:
        await self._run_many(_RELEASE, _make_calls(leases))

    async def lose(self, leases: Iterable[Lease], seconds: float) -> None:
        await self._run_many(_LOSE, _make_calls(leases, max(1, round(seconds * 1000))))

    async def count(self, kind: Kind, user_id: str) -> int:
        return int(await self._run(_COUNT, _quota_key(kind, user_id), []))

    async def renew(self, leases: Iterable[Lease]) -> None:
        await self._run_many(_RENEW, _make_calls(leases, self._lease_ms))

    async def _run(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:
        return await _run_cleared(self._redis, script, [key], arguments, self._observer, "quotas")

    async def _run_many(self, script: Script, calls: Sequence[Call]) -> None:
        failed = await script.run_many(self._redis, calls)
        for keys, _ in failed:
            self._observer.foreign_key("quotas")
            await _remove_keys(self._redis, keys)
        if failed:
            await script.run_many(self._redis, failed)


def _quota_key(kind: Kind, user_id: str) -> str:
    return f"{PREFIX}quota:{user_tag(user_id)}:{kind}"


async def _run_cleared(
    redis: RedisClient,
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[Argument],
    observer: ForeignKeyObserver,
    of: Limit,
) -> Any:
    """Run a script; where foreign data lies under its keys, remove the keys and run it once more."""
    try:
        return await script.run(redis, keys, arguments)
    except RedisError as error:
        if not is_key_error(error):
            raise
        observer.foreign_key(of)
        if not await _remove_keys(redis, keys):
            raise
    return await script.run(redis, keys, arguments)


async def _remove_keys(redis: RedisClient, keys: Sequence[str]) -> bool:
    """Remove keys; False if Redis does not permit that."""
    try:
        for key in keys:
            await redis.delete(key)
    except NoPermissionError:
        return False
    return True


def _make_calls(leases: Iterable[Lease], *first: Argument) -> list[Call]:
    members = defaultdict(list)
    for kind, user_id, member in leases:
        members[_quota_key(kind, user_id)].append(member)
    return [
        ([key], [*first, *found[start : start + _MEMBERS]])
        for key, found in members.items()
        for start in range(0, len(found), _MEMBERS)
    ]
