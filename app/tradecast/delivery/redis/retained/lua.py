"""The Lua scripts of what is retained: `RETAIN` moves it there, `READ_SNAPSHOT` reads it.

Publishing costs nothing more. An event's room is noted with the event's id in the sorted set `n` anyway
(`redis/lua.py`), and the history of a room that nobody writes to stays for its time. Half of that time after the last
event, `RETAIN` visits the room, and copies what is to stay longer. So recovery depends on nothing here, and whatever is
here can be deleted at any time. Every server runs it; the clock notes up to which id all rooms are visited.

Keys below a partition's prefix: `k:<room>` (hash; `l<field>`: as that field of `l:<room>`; `c<id>`: as that entry of
`h:<room>`), `kt` (sorted set: rooms by the id of their newest value), `ks` (hash: `r<room>` bytes, `t` the total, `s`
the notes of the same id that are visited, where there are more than one visit handles). Fields of the clock: `swept`,
up to which id all notes are visited; `kept`: what was copied from before that id may be outdated, since nobody visited
for too long.

A value of here must never be taken for the newest when a newer one was lost. So it counts only while rooms are
visited in time, and not where a note tells of an event that is not there any more.
"""

from __future__ import annotations

from typing import Final

from tradecast.delivery.ids import PER_MS, START_MS
from tradecast.delivery.redis.lua import TAKE_POSITION
from tradecast.redis_client.script import Script

# Rooms that one call visits, and rooms that it deletes at most.
MAX_VISITS: Final = 100
MAX_DROPPED: Final = 200
# Newest entries of a stream among which the events that stay are looked for.
LOOKED_AT: Final = 100
# What a field and a room take beside their bytes, roughly.
FIELD_BYTES: Final = 64
ROOM_BYTES: Final = 128
# Values in one call of Redis: Lua hands on some thousands at a time.
AT_ONCE: Final = 1_000

# What both scripts need. `names`: the counted events that stay, each in tabs. The newest `limit` of a stream, newest
# first: id, body, …
_SHARED: Final = f"""
local function newest_counted(key, limit, names)
  local found, newest = {{}}, 0
  local entries = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', {LOOKED_AT})
  if entries.err then return found, newest end
  if entries[1] then newest = tonumber(string.match(entries[1][1], '^%d+')) end
  for _, entry in ipairs(entries) do
    local body = entry[2][2]
    local event = string.match(body, '^%.[^\\n]*\\nC\\t([^\\t]*)\\t')
    if event and string.find(names, '\\t' .. event .. '\\t', 1, true) then
      found[#found + 1] = string.match(entry[1], '^%d+')
      found[#found + 1] = body
      if #found >= 2 * limit then break end
    end
  end
  return found, newest
end
local function noted(member)
  local found = redis.pcall('ZSCORE', KEYS[2], member)
  return type(found) == 'string' and tonumber(found) or 0
end
"""

# KEYS: clock, notes, and in Redis Cluster what is read. ARGV: as READ_POSITION, then prefix, milliseconds of the
# history, milliseconds that values stay, the names, then room and number of counted events for each room (-1: neither
# these nor latest ones). The answer: as READ_POSITION, then for each room: `l:<room>`, what counts of `k:<room>`
# (field, value, …), the newest entries of its stream (id, body, …).
READ_SNAPSHOT = Script(
    TAKE_POSITION
    + _SHARED
    + f"""
local answer = {{epoch, text, lineage, first() or text}}
local state = redis.call('HMGET', KEYS[1], 'swept', 'kept')
local oldest = now - ARGV[5] * {PER_MS}
local from
if (tonumber(state[1] or 0) or 0) >= oldest then
  from = math.max(tonumber(state[2] or 0) or 0, now - ARGV[6] * {PER_MS})
end
for i = 8, #ARGV, 2 do
  local room, limit = ARGV[i], tonumber(ARGV[i + 1])
  local latest, retained, counted, newest = {{}}, {{}}, {{}}, 0
  if limit >= 0 then
    latest = redis.pcall('HGETALL', ARGV[4] .. 'l:' .. room)
    if latest.err then latest = {{}} end
    if limit > 0 then counted, newest = newest_counted(ARGV[4] .. 'h:' .. room, limit, ARGV[7]) end
    local old = from and redis.pcall('HGETALL', ARGV[4] .. 'k:' .. room) or {{}}
    if old[1] then
      local written = 0
      for f = 2, #latest, 2 do
        written = math.max(written, tonumber(string.match(latest[f], '^%d+ ') or 0))
      end
      local lost = math.max(from - 1, noted('x' .. room))
      local mark_l, mark_h = noted('l' .. room), noted('h' .. room)
      local takes = {{
        l = not (mark_l > oldest and written < mark_l),
        c = limit > 0 and #counted < 2 * limit and not (mark_h > oldest and newest < mark_h)
      }}
      for f = 1, #old, 2 do
        local kind = string.sub(old[f], 1, 1)
        local id = kind == 'c' and string.sub(old[f], 2) or string.match(old[f + 1], '^%d+')
        if takes[kind] and (tonumber(id or 0) or 0) > lost then
          retained[#retained + 1] = old[f]
          retained[#retained + 1] = old[f + 1]
        end
      end
    end
  end
  answer[#answer + 1] = latest
  answer[#answer + 1] = retained
  answer[#answer + 1] = counted
end
return answer
"""
)

# KEYS: clock, notes, rooms, sizes. ARGV: prefix, milliseconds of the history, milliseconds that values stay (0: all
# goes), bytes of a value, bytes of all, keys of latest events in a room, counted events of a room, their names. The
# answer: bytes and rooms that are retained, values that were too large, rooms that went since the budget was used up
# or Redis is full, rooms visited, 1 if there is more to do.
RETAIN = Script(
    f"""
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000) - {START_MS}) * {PER_MS}
"""
    + _SHARED
    + f"""
local span, stay = ARGV[2] * {PER_MS}, ARGV[3] * {PER_MS}
local oldest, due = now - span, now - math.floor(span / 2)
local function whole(number) return string.format('%.0f', number) end
-- What another type lies under is removed. Nil: it cannot be read now, as it is on its way to another node.
local function typed(answer, key, empty)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then return nil end
  redis.pcall('DEL', key)
  return empty
end
local rooms = typed(redis.pcall('ZCARD', KEYS[3]), KEYS[3], 0) or 0
local sizes = typed(redis.pcall('HMGET', KEYS[4], 't', 's'), KEYS[4], {{}}) or {{}}
local total, skip = tonumber(sizes[1] or 0) or 0, tonumber(sizes[2] or 0) or 0
if rooms == 0 and total ~= 0 then
  redis.call('DEL', KEYS[4])
  total, skip = 0, 0
end
local before = total
local function size_of(room) return tonumber(redis.call('HGET', KEYS[4], 'r' .. room) or 0) or 0 end
local function forget(room)
  total = math.max(0, total - size_of(room))
  redis.call('HDEL', KEYS[4], 'r' .. room)
  redis.call('ZREM', KEYS[3], room)
end
-- The oldest first. What cannot be deleted now, as it is on its way to another node, stays for the next time.
local function drop(many, last)
  local dropped = 0
  local found = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', last, 'LIMIT', 0, many)
  for _, room in ipairs(found) do
    local answer = redis.pcall('DEL', ARGV[1] .. 'k:' .. room)
    if type(answer) == 'table' and answer.err then break end
    forget(room)
    dropped = dropped + 1
  end
  return dropped
end
local function finish(large, gone, visited, more)
  if total ~= before then redis.pcall('HSET', KEYS[4], 't', whole(total)) end
  rooms = redis.call('ZCARD', KEYS[3])
  return {{whole(total), rooms, large, gone, visited, more}}
end
if stay == 0 then
  redis.pcall('HDEL', KEYS[1], 'swept', 'kept')
  drop({MAX_DROPPED}, '+inf')
  return finish(0, 0, 0, redis.call('ZCARD', KEYS[3]) > 0 and 1 or 0)
end
"""
    + f"""
local clock = redis.pcall('HMGET', KEYS[1], 'swept', 'kept')
if clock.err then return finish(0, 0, 0, 0) end
local swept, kept = tonumber(clock[1] or 0) or 0, tonumber(clock[2] or 0) or 0
if swept < oldest or swept > now then
  -- What nobody visited may be gone by now, and with it what was newer than what is retained.
  swept, kept, skip = oldest, math.max(kept, oldest), 0
end
local answer = redis.pcall('HSET', KEYS[1], 'swept', whole(swept), 'kept', whole(kept))
if type(answer) == 'table' and answer.err then
  -- Out of memory: publishing is worth more than what is here.
  local is_full = string.find(answer.err, 'OOM', 1, true)
  return finish(0, is_full and drop({MAX_DROPPED}, '+inf') or 0, 0, 0)
end
drop({MAX_DROPPED}, '(' .. whole(math.max(kept, now - stay)))

local large, visited = 0, 0
local function is_client(room)
  local name = string.match(room, '^/[^,]*,(.*)$') or room
  return #name == 20 and not string.find(name, '[^%w_-]')
end
local function newer(one, other) return one[1] > other[1] end
local limits = {{l = tonumber(ARGV[6]), c = tonumber(ARGV[7])}}
local function visit(mark, room, score)
  local key = ARGV[1] .. 'k:' .. room
  local old = typed(redis.pcall('HGETALL', key), key, {{}})
  if not old then return end
  local lost = math.max(kept, now - stay, noted('x' .. room))
  -- By kind, each field with its id and value.
  local fields = {{l = {{}}, c = {{}}}}
  local function put(field, id, value)
    local kind = string.sub(field, 1, 1)
    if #value > tonumber(ARGV[4]) then
      large = large + 1
      -- An older value of it is not the newest.
      fields[kind][field] = nil
    else
      fields[kind][field] = {{id, field, value}}
    end
  end
  for f = 1, #old, 2 do
    local kind = string.sub(old[f], 1, 1)
    local id = tonumber(kind == 'c' and string.sub(old[f], 2) or string.match(old[f + 1], '^%d+') or 0) or 0
    if fields[kind] and id > lost then fields[kind][old[f]] = {{id, old[f], old[f + 1]}} end
  end
  if mark == 'l' then
    local latest = redis.pcall('HGETALL', ARGV[1] .. 'l:' .. room)
    local newest = 0
    for f = 2, #latest, 2 do newest = math.max(newest, tonumber(string.match(latest[f], '^%d+ ') or 0)) end
    if newest < score then fields.l = {{}} end
    for f = 1, #latest, 2 do
      local id = tonumber(string.match(latest[f + 1], '^%d+ ') or 0)
      if id > 0 then put('l' .. latest[f], id, latest[f + 1]) end
    end
  else
    local counted, newest = newest_counted(ARGV[1] .. 'h:' .. room, limits.c, ARGV[8])
    if newest < score then fields.c = {{}} end
    for c = 1, #counted, 2 do put('c' .. counted[c], tonumber(counted[c]), counted[c + 1]) end
  end
  local values, size, newest = {{}}, {ROOM_BYTES}, 0
  for kind, limit in pairs(limits) do
    local some = {{}}
    for _, one in pairs(fields[kind]) do some[#some + 1] = one end
    if #some > limit then table.sort(some, newer) end
    for n = 1, math.min(#some, limit) do
      local id, field, value = unpack(some[n])
      values[#values + 1] = field
      values[#values + 1] = value
      size = size + #field + #value + {FIELD_BYTES}
      newest = math.max(newest, id)
    end
  end
  if type(redis.pcall('DEL', key)) == 'table' then return end
  forget(room)
  local left = math.floor((newest + stay - now) / {PER_MS})
  if #values == 0 or left <= 0 then return end
  for v = 1, #values, {AT_ONCE} do
    redis.call('HSET', key, unpack(values, v, math.min(v + {AT_ONCE} - 1, #values)))
  end
  redis.call('PEXPIRE', key, left)
  redis.call('ZADD', KEYS[3], whole(newest), room)
  redis.call('HSET', KEYS[4], 'r' .. room, whole(size))
  total = total + size
end

local found = redis.pcall('ZRANGEBYSCORE', KEYS[2], '(' .. whole(swept), whole(due), 'WITHSCORES',
  'LIMIT', skip, {MAX_VISITS})
if found.err then found = {{}} end
local count, more, last = #found / 2, 0, tonumber(found[#found] or 0)
if count < {MAX_VISITS} then
  swept, skip = math.max(swept, due), 0
else
  more = 1
  if tonumber(found[2]) == last then
    -- So many rooms have the same event: the next call goes on among them.
    skip = skip + count
  else
    -- Others with the last one's id may follow: they are visited together.
    while tonumber(found[2 * count]) == last do count = count - 1 end
    swept, skip = tonumber(found[2 * count]), 0
  end
end
for n = 1, count do
  local member, score = found[2 * n - 1], tonumber(found[2 * n])
  local mark, room = string.sub(member, 1, 1), string.sub(member, 2)
  if (mark == 'l' or (mark == 'h' and limits.c > 0)) and not is_client(room) then
    visit(mark, room, score)
    visited = visited + 1
  end
end
local gone = 0
while total > tonumber(ARGV[5]) and gone < {MAX_DROPPED} do
  if drop(1, '+inf') == 0 then break end
  gone = gone + 1
end
if total > tonumber(ARGV[5]) and gone > 0 then more = 1 end
redis.call('HSET', KEYS[1], 'swept', whole(swept))
redis.call('HSET', KEYS[4], 's', skip)
return finish(large, gone, visited, more)
"""
)
