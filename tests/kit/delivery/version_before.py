"""Scripts of the version before, which wrote no notes of what is kept (`n`): its PUBLISH and its TICK as they were."""

from __future__ import annotations

from typing import Final

from kit.servers.redis_server import RedisServer

PUBLISH: Final = """
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000) - 1577836800000) * 4096
local clock = redis.pcall('HMGET', KEYS[1], 'epoch', 'last', 'instance', 'lineage')
if clock.err then
  redis.call('DEL', KEYS[1])
  clock = {}
end
local epoch, last, lineage = clock[1], tonumber(clock[2] or 0) or 0, clock[4] or ''

local done = redis.call('GET', KEYS[2])
if done then
  local number, id = string.match(done, '^(%d+) (%d+)$')
  if tonumber(number) >= tonumber(ARGV[5]) then return {epoch or '', id} end
end

local instance = ARGV[3]
local changed = not epoch or (instance ~= '' and instance ~= clock[3])
if changed and epoch and clock[3] then
  lineage = epoch .. ':' .. string.format('%.0f', last) .. ' '
    .. string.match(lineage, '^%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?')
  epoch = ARGV[1]
  while string.find(' ' .. lineage, ' ' .. string.sub(epoch, 1, 2), 1, true) do
    epoch = string.format('%02x', (tonumber(string.sub(epoch, 1, 2), 16) + 1) % 256) .. string.sub(epoch, 3)
  end
elseif not epoch then
  epoch = ARGV[1]
  last = math.max(now, last)
  redis.call('HSET', KEYS[1], 'since', string.format('%.0f', last))
end
local floor = tonumber(ARGV[2])
if floor > last and floor < now + 14745600000 then last = floor end
if changed then
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'instance', instance, 'lineage', lineage)
end

local function write(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if string.find(answer.err, 'OOM', 1, true) then return answer end
    local key = ({...})[2]
    redis.call('DEL', key)
    if ({...})[1] == 'XADD' then
      -- What was there is lost: by one entry more that was added, and is not there, readers see that.
      redis.call('XADD', key, '1-0', 'm', '')
      redis.call('XDEL', key, '1-0')
    end
    redis.call(...)
  end
end
local id = math.max(now, last)
local text
local i = 8
while i <= #ARGV do
  local kind, event, rooms = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local body = ARGV[i + 3 + rooms]
  id = id + 1
  text = string.format('%.0f', id)
  local message = '1' .. epoch .. '.' .. text .. body
  for r = i + 3, i + 2 + rooms do
    local room = ARGV[r]
    local refused
    if kind == 'C' then
      local key = ARGV[4] .. 'h:' .. room
      refused = write('XADD', key, 'MAXLEN', '~', ARGV[6], text .. '-0', 'm', body)
        or write('PEXPIRE', key, ARGV[7])
    elseif kind == 'L' then
      local key = ARGV[4] .. 'l:' .. room
      refused = write('HSET', key, event, text .. ' ' .. body) or write('PEXPIRE', key, ARGV[7])
    end
    if refused then return refused end
    redis.call('PUBLISH', ARGV[4] .. 'r:' .. room, message)
  end
  i = i + 4 + rooms
end
redis.call('HSET', KEYS[1], 'last', text)
redis.call('SET', KEYS[2], ARGV[5] .. ' ' .. text, 'PX', 600000)
return {epoch, text}
"""

TICK: Final = """redis.call('PERSIST', KEYS[1])
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000) - 1577836800000) * 4096
local clock = redis.pcall('HMGET', KEYS[1], 'epoch', 'last', 'instance', 'lineage')
if clock.err then
  redis.call('DEL', KEYS[1])
  clock = {}
end
local epoch, last, lineage = clock[1], tonumber(clock[2] or 0) or 0, clock[4] or ''

local instance = ARGV[3]
local changed = not epoch or (instance ~= '' and instance ~= clock[3])
if changed and epoch and clock[3] then
  lineage = epoch .. ':' .. string.format('%.0f', last) .. ' '
    .. string.match(lineage, '^%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?%S*%s?')
  epoch = ARGV[1]
  while string.find(' ' .. lineage, ' ' .. string.sub(epoch, 1, 2), 1, true) do
    epoch = string.format('%02x', (tonumber(string.sub(epoch, 1, 2), 16) + 1) % 256) .. string.sub(epoch, 3)
  end
elseif not epoch then
  epoch = ARGV[1]
  last = math.max(now, last)
  redis.call('HSET', KEYS[1], 'since', string.format('%.0f', last))
end
local floor = tonumber(ARGV[2])
if floor > last and floor < now + 14745600000 then last = floor end
if changed then
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'instance', instance, 'lineage', lineage)
end

local text = string.format('%.0f', math.max(now, last))
local answer = redis.pcall('HSET', KEYS[1], 'last', text)
if type(answer) == 'table' and answer.err then
  if string.find(answer.err, 'READONLY', 1, true) then return answer end
  text = clock[2] or '0'
end
redis.call('PUBLISH', ARGV[4], '1' .. epoch .. '.' .. text .. ARGV[5])
return {epoch, text}
"""


async def publish_as_before(
    server: RedisServer, prefix: str, room: str, kind: str = "C", *, keep_ms: int = 600_000
) -> None:
    """Publish an event `before` to a room, as a publisher of that version."""
    instance = await server.ask("HGET", f"{prefix}clock", "instance") or ""
    body = f'.{instance}.ab.0\n{kind}\tbefore\t\n2["before",0'
    begin = ("0a0b0c0d", "0", instance)
    keys = (f"{prefix}clock", f"{prefix}p:before{await server.ask('INCR', 'before')}")
    await server.ask("EVAL", PUBLISH, 2, *keys, *begin, prefix, 1, 1_000, 600_000, kind, "before", 1, room, body)


async def tick_as_before(server: RedisServer, prefix: str) -> None:
    """What each server of that version does once a second."""
    instance = await server.ask("HGET", f"{prefix}clock", "instance") or ""
    await server.ask("EVAL", TICK, 1, f"{prefix}clock", "0a0b0c0d", "0", instance, f"{prefix}c:before", "")
