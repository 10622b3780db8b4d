"""Removes the retained values and the history of rooms from Redis, for example a user's personal data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tradecast.delivery.redis.connections.endpoints import find_partition, list_endpoints
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.script import Script

# KEYS: of the room history, latest events, retained values; of the partition rooms, sizes. ARGV: the room, 1 if nothing
# is to be removed. The answer: counted events and latest ones of the history, retained values. The notes of the room
# stay for their minutes: by these, whoever comes back for what is gone starts a new session.
PURGE = Script("""
local function count(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or 0
end
local answer = {count('XLEN', KEYS[1]), count('HLEN', KEYS[2]), count('HLEN', KEYS[3])}
if ARGV[2] == '1' then return answer end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.pcall('ZREM', KEYS[4], ARGV[1])
local size = redis.pcall('HGET', KEYS[5], 'r' .. ARGV[1])
if type(size) == 'string' and tonumber(size) then
  redis.call('HDEL', KEYS[5], 'r' .. ARGV[1])
  local total = tonumber(redis.call('HGET', KEYS[5], 't') or 0) or 0
  redis.call('HSET', KEYS[5], 't', string.format('%.0f', math.max(0, total - tonumber(size))))
end
return answer
""")


@dataclass(frozen=True, slots=True)
class Purged:
    """What Redis had of a room.

    Attributes:
        counted: Durable events in the history.
        latest: Latest-wins events in the history.
        retained: Values that were to stay for later subscribers.
    """

    counted: int
    latest: int
    retained: int

    @property
    def total(self) -> int:
        """The sum; an event may count twice, in the history and as a retained value."""
        return self.counted + self.latest + self.retained


async def purge_rooms(redis: RedisClient, rooms: Collection[str], *, dry_run: bool = False) -> Mapping[str, Purged]:
    """Remove what Redis has of rooms. Returns what was removed, by room.

    Args:
        redis: That of one mode.
        rooms: The rooms.
        dry_run: Only look.

    Raises:
        redis.exceptions.RedisError: Redis refused, or is not reachable; some rooms may be done.
    """
    endpoints = list_endpoints(redis)
    found: dict[str, Purged] = {}
    for room in rooms:
        prefix = endpoints[find_partition(room, len(endpoints))].prefix
        keys = [*(f"{prefix}{mark}{room}" for mark in ("h:", "l:", "k:")), f"{prefix}kt", f"{prefix}ks"]
        counted, latest, retained = await PURGE.run(redis, keys, [room, int(dry_run)])
        found[room] = Purged(int(counted), int(latest), int(retained))
    return found
