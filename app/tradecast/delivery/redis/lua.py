"""The Lua scripts: what is done in Redis in one step. All keys of a partition have one hash tag, so one slot.

Keys below a partition's prefix: `clock` (a hash: epoch, last id, noted, instance, lineage, and since: the first id of
all), `h:<room>` (stream: what counts), `l:<room>` (hash by event: the newest of what is latest-wins), `n` (sorted set:
what was kept last), `s:<pid>` (hash: a session), `p:<producer>` (what it published last).
Channels: `r:<room>`, `c:<server>`, and `d` for the rooms that clients are themselves (their sids). Ids are made as
`delivery/ids.py` says; they are written with %.0f because Lua shows a number of this size in exponential notation.

A room that nobody writes to has neither stream nor hash, and neither has one whose keys were evicted or deleted. The
set `n` distinguishes these. It has no TTL, so that policies for keys with one do not touch it. Its members, with ids as
scores: `h<room>` and `l<room>`, the last one that was kept there; `x<room>`, up to which something of the room is lost;
`b`: since when the set is there; and `s`: all that was kept after this id is noted here. Where the set itself is gone,
both start again. A server or a publisher of a version that writes no notes moves `last` in the clock and not `noted`:
that shows it, and `s` alone starts again.
"""

from __future__ import annotations

from typing import Final

from tradecast.delivery.ids import PER_MS, START_MS
from tradecast.delivery.retention import MAX_KEYS
from tradecast.redis_client.script import Script

# How far the clocks of two Redis hosts may be apart. A floor further in the future is nobody's honest id.
MAX_SKEW_MS: Final = 3_600_000
# Notes that one batch removes at most, of those that are older than what is kept; and how far they may be behind.
MAX_TRIMMED: Final = 1_000
TRIM_EVERY_MS: Final = 1_000
# A room may have so many keys of latest events more, before the oldest go.
KEYS_OVER: Final = 100
# Values in one ZADD: Lua hands on some thousands at a time.
NOTES_AT_ONCE: Final = 2_000

_CLOCK = f"""
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000) - {START_MS}) * {PER_MS}
local clock = redis.pcall('HMGET', KEYS[1], 'epoch', 'last', 'instance', 'lineage', 'noted')
if clock.err then
  redis.call('DEL', KEYS[1])
  clock = {{}}
end
local epoch, last, lineage = clock[1], tonumber(clock[2] or 0) or 0, clock[4] or ''
local function first() return string.match(redis.call('HGET', KEYS[1], 'since') or '', '^%d+$') end
"""

# What every script that can write begins with. ARGV: an epoch, in case a new one begins; the floor: the last id that
# the caller knows of, as the clock of another master may be behind; the instance of Redis ('' if it is not known).
# When another instance is in charge (a replica became the master) or the same one was restarted, what was taken last
# before may be lost. So a new epoch begins, and the lineage says up to which id it has the one before: `epoch:id`, the
# newest first. Epochs of one lineage differ in their first two digits: of many partitions, offsets name only these.
_BEGIN = f"""
local instance = ARGV[3]
local changed = not epoch or (instance ~= '' and instance ~= clock[3])
if changed and epoch and clock[3] then
  lineage = epoch .. ':' .. string.format('%.0f', last) .. ' ' .. string.match(lineage, '^{"%S*%s?" * 8}')
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
if floor > last and floor < now + {MAX_SKEW_MS * PER_MS} then last = floor end
if changed then
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'instance', instance, 'lineage', lineage)
end
"""
# What is noted is sure from here on, unless it cannot be written: then `refused` says why.
_NOTES = """
local begun = redis.pcall('ZSCORE', KEYS[2], 'b')
if type(begun) == 'table' then
  redis.call('DEL', KEYS[2])
  begun = false
end
local refused
if not begun or clock[5] ~= clock[2] then
  local text = string.format('%.0f', last)
  local answer
  if begun then
    answer = redis.pcall('ZADD', KEYS[2], text, 's')
  else
    begun = text
    answer = redis.pcall('ZADD', KEYS[2], text, 's', text, 'b')
  end
  if type(answer) == 'table' then refused = answer end
end
local function keep(text)
  if text == clock[2] and (refused or text == clock[5]) then return end
  if refused then return redis.pcall('HSET', KEYS[1], 'last', text) end
  return redis.pcall('HSET', KEYS[1], 'last', text, 'noted', text)
end
"""
_KEEP = """
local text = string.format('%.0f', last)
local answer = keep(text)
if type(answer) == 'table' and answer.err then return answer end
"""

# KEYS: clock, notes. ARGV: see above. The answer: epoch, last id, lineage, the first id of all.
TAKE_POSITION: Final = _CLOCK + _BEGIN + _NOTES + _KEEP
READ_POSITION = Script(TAKE_POSITION + "return {epoch, text, lineage, first() or text}")

# KEYS: clock, notes. ARGV: as above, a channel, and the end of the message for it. As READ_POSITION, and publishes the
# id, which rises with the time: where nothing was published for long, positions would be older than what is kept. Where
# that cannot be written (out of memory) it stays as it is. PERSIST changes nothing, but is a write: a master that must
# not write, since its replicas have left it, says so.
TICK = Script(
    "redis.call('PERSIST', KEYS[1])"
    + _CLOCK
    + _BEGIN
    + _NOTES
    + """
local text = string.format('%.0f', math.max(now, last))
local answer = keep(text)
if type(answer) == 'table' and answer.err then
  if string.find(answer.err, 'READONLY', 1, true) then return answer end
  text = clock[2] or '0'
end
redis.call('PUBLISH', ARGV[4], '1' .. epoch .. '.' .. text .. ARGV[5])
return {epoch, text}
"""
)

# KEYS: clock, notes, producer, and in Redis Cluster what is written, so that nothing is done where a part of it has
# moved to another node. ARGV: as above, prefix, number of the batch, events kept per room, milliseconds that they are
# kept, then for each event: kind, with a D behind it if one of its rooms may be a client, name, number of rooms, rooms,
# origin with envelope. The answer: epoch and the last event's id. A batch that was carried out already is not repeated:
# its answer was lost. What lies under our keys and is none of ours is removed; out of memory, the first write fails,
# and so nothing is done.
PUBLISH = Script(
    _CLOCK
    + """
local done = redis.pcall('GET', KEYS[3])
if type(done) == 'string' then
  local number, id = string.match(done, '^(%d+) (%d+)$')
  if number and tonumber(number) >= tonumber(ARGV[5]) then return {epoch or '', id} end
end
"""
    + _BEGIN
    + _NOTES
    + f"""
if refused then return refused end
local oldest = now - ARGV[7] * {PER_MS}
local notes = {{}}
-- What was kept of a room last, if that should still be there, is not.
local function lose(mark, room)
  local before = tonumber(redis.call('ZSCORE', KEYS[2], mark .. room) or 0)
  if before <= oldest then return end
  local lost = tonumber(notes['x' .. room] or redis.call('ZSCORE', KEYS[2], 'x' .. room) or 0)
  if before > lost then notes['x' .. room] = string.format('%.0f', before) end
end
local function keep_counted(room, key, id, ...)
  local answer = redis.pcall('XADD', key, 'NOMKSTREAM', 'MAXLEN', '~', ARGV[6], id, ...)
  if not answer then
    lose('h', room)
    answer = redis.pcall('XADD', key, id, ...)
  end
  if type(answer) == 'table' then
    if string.find(answer.err, 'OOM', 1, true) then return answer end
    redis.call('DEL', key)
    lose('h', room)
    -- What was there is lost: by one entry more that was added, and is not there, readers see that.
    redis.call('XADD', key, '1-0', 'm', '')
    redis.call('XDEL', key, '1-0')
    redis.call('XADD', key, id, ...)
  end
end
-- The keys of a room's latest events are bounded. Who was not given one that goes has to start a new session.
local function drop_oldest(room, key)
  local found, values = redis.call('HGETALL', key), {{}}
  for f = 1, #found, 2 do
    values[#values + 1] = {{tonumber(string.match(found[f + 1], '^%d+') or 0), found[f]}}
  end
  table.sort(values, function(one, other) return one[1] < other[1] end)
  for n = 1, #values - {MAX_KEYS} do redis.call('HDEL', key, values[n][2]) end
  local gone = values[#values - {MAX_KEYS}][1]
  local lost = tonumber(notes['x' .. room] or redis.call('ZSCORE', KEYS[2], 'x' .. room) or 0)
  if gone > oldest and gone > lost then notes['x' .. room] = string.format('%.0f', gone) end
end
local function keep_latest(room, key, event, value)
  local answer = redis.pcall('HSET', key, event, value)
  if type(answer) == 'table' then
    if string.find(answer.err, 'OOM', 1, true) then return answer end
    redis.call('DEL', key)
    lose('l', room)
    redis.call('HSET', key, event, value)
  elseif answer == 1 then
    local count = redis.call('HLEN', key)
    if count == 1 then lose('l', room) end
    if count > {MAX_KEYS + KEYS_OVER} then drop_oldest(room, key) end
  end
end
"""
    + """
local id = math.max(now, last)
local text
local i = 8
while i <= #ARGV do
  local kind, event, rooms = string.sub(ARGV[i], 1, 1), ARGV[i + 1], tonumber(ARGV[i + 2])
  local body = ARGV[i + 3 + rooms]
  id = id + 1
  text = string.format('%.0f', id)
  local message = '1' .. epoch .. '.' .. text .. body
  for r = i + 3, i + 2 + rooms do
    local room = ARGV[r]
    if kind == 'C' then
      local key = ARGV[4] .. 'h:' .. room
      refused = keep_counted(room, key, text .. '-0', 'm', body)
      if refused then return refused end
      redis.call('PEXPIRE', key, ARGV[7])
      notes['h' .. room] = text
    elseif kind == 'L' then
      local key = ARGV[4] .. 'l:' .. room
      refused = keep_latest(room, key, event, text .. ' ' .. body)
      if refused then return refused end
      redis.call('PEXPIRE', key, ARGV[7])
      notes['l' .. room] = text
    end
    redis.call('PUBLISH', ARGV[4] .. 'r:' .. room, message)
  end
  if ARGV[i] ~= kind then redis.call('PUBLISH', ARGV[4] .. 'd', message) end
  i = i + 4 + rooms
end
"""
    + f"""
local values = {{}}
for member, score in pairs(notes) do
  values[#values + 1] = score
  values[#values + 1] = member
  if #values == {NOTES_AT_ONCE} then
    redis.call('ZADD', KEYS[2], unpack(values))
    values = {{}}
  end
end
if #values > 0 then redis.call('ZADD', KEYS[2], unpack(values)) end
if tonumber(begun) < oldest - {TRIM_EVERY_MS * PER_MS} then
  local certain = tonumber(redis.call('ZSCORE', KEYS[2], 's') or begun)
  local sure = string.format('%.0f', oldest)
  local last_of_many = redis.call(
    'ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. sure, 'WITHSCORES', 'LIMIT', {MAX_TRIMMED - 1}, 1)
  if last_of_many[2] then
    sure = string.format('%.0f', tonumber(last_of_many[2]))
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, {MAX_TRIMMED - 1})
  else
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. sure)
  end
  redis.call('ZADD', KEYS[2], sure, 'b', string.format('%.0f', math.max(certain, tonumber(sure))), 's')
end
redis.call('HSET', KEYS[1], 'last', text, 'noted', text)
redis.call('SET', KEYS[3], ARGV[5] .. ' ' .. text, 'PX', 600000)
return {{epoch, text}}
"""
)

# KEYS: clock, notes, and in Redis Cluster what is read. ARGV: prefix, then room and start for each room. The answer:
# epoch, last id, the epoch's first id, the id of this moment, from which id on the notes are sure, since which id
# they are there, and for each room: first id ('' without a stream), 1 if anything was taken from it, entries after
# the start (id, envelope, …), what is latest-wins (event, "id envelope", …), and what the notes say: the last id of
# the stream, of the latest ones, and up to which id something is lost; 0 where they say nothing.
READ = Script(
    _CLOCK
    + """
local function noted(member)
  local found = redis.pcall('ZSCORE', KEYS[2], member)
  return type(found) == 'string' and string.format('%.0f', tonumber(found))
end
local answer = {epoch or '', string.format('%.0f', last), first() or '',
  string.format('%.0f', math.max(now, last)), clock[5] == clock[2] and noted('s') or string.format('%.0f', last),
  noted('b') or string.format('%.0f', last)}
for i = 2, #ARGV, 2 do
  local key = ARGV[1] .. 'h:' .. ARGV[i]
  local first, trimmed, entries = '', 0, {}
  local head = redis.pcall('XRANGE', key, '-', '+', 'COUNT', 1)
  if head.err then
    trimmed = 1
  elseif head[1] then
    first = string.match(head[1][1], '^%d+')
    local info = redis.call('XINFO', 'STREAM', key)
    local length, added, deleted
    for f = 1, #info, 2 do
      if info[f] == 'length' then length = info[f + 1] end
      if info[f] == 'entries-added' then added = info[f + 1] end
      if info[f] == 'max-deleted-entry-id' then deleted = string.match(info[f + 1], '^%d+') end
    end
    if tonumber(first) > tonumber(ARGV[i + 1]) then
      if added ~= length then trimmed = 1 end
    elseif deleted and tonumber(deleted) > tonumber(ARGV[i + 1]) then
      -- Somebody took single entries out: what is there from before proves nothing of those after it.
      first, trimmed = '', 1
    end
    for _, entry in ipairs(redis.call('XRANGE', key, '(' .. ARGV[i + 1] .. '-0', '+')) do
      entries[#entries + 1] = string.match(entry[1], '^%d+')
      entries[#entries + 1] = entry[2][2]
    end
  end
  answer[#answer + 1] = first
  answer[#answer + 1] = trimmed
  answer[#answer + 1] = entries
  local newest = redis.pcall('HGETALL', ARGV[1] .. 'l:' .. ARGV[i])
  answer[#answer + 1] = newest.err and {} or newest
  for _, mark in ipairs({'h', 'l', 'x'}) do
    answer[#answer + 1] = noted(mark .. ARGV[i]) or '0'
  end
end
return answer
"""
)

# A session's hash: u user, i sid, c connection id, o owner, g generation, e epoch, p confirmed positions, k closes for
# slowness in a row, r<room> join position. Others are the next version's, and begin with no r.
# KEYS: the session. ARGV: owner, generation, milliseconds to keep it, then one of
#   save: user, sid, connection id, epoch, positions, closes, then room and position for each room
#   join: room, position, …     leave: room        touch: positions        drop
# The answer: 1 done, 0 it is another's by now, -1 it is not there (any more).
SESSION = Script("""
local what = ARGV[4]
local owner, generation = unpack(redis.call('HMGET', KEYS[1], 'o', 'g'))
if generation and (tonumber(generation) > tonumber(ARGV[2])
    or (tonumber(generation) == tonumber(ARGV[2]) and owner ~= ARGV[1])) then return 0 end
if what == 'drop' then
  redis.call('DEL', KEYS[1])
  return 1
end
if what == 'save' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'o', ARGV[1], 'g', ARGV[2], 'u', ARGV[5],
    'i', ARGV[6], 'c', ARGV[7], 'e', ARGV[8], 'p', ARGV[9], 'k', ARGV[10])
  for i = 11, #ARGV, 2 do redis.call('HSET', KEYS[1], 'r' .. ARGV[i], ARGV[i + 1]) end
elseif not generation then
  return -1
elseif what == 'join' then
  for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], 'r' .. ARGV[i], ARGV[i + 1]) end
elseif what == 'leave' then
  redis.call('HDEL', KEYS[1], 'r' .. ARGV[5])
elseif what == 'touch' then
  redis.call('HSET', KEYS[1], 'p', ARGV[5])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

# KEYS: the session. ARGV: user, new owner, milliseconds to keep it. The answer: the hash as it was, with the new
# generation; empty if it is not there or another user's.
CLAIM = Script("""
local user = redis.pcall('HGET', KEYS[1], 'u')
if user ~= ARGV[1] then return {} end
local fields = redis.call('HGETALL', KEYS[1])
local generation = redis.pcall('HINCRBY', KEYS[1], 'g', 1)
if type(generation) == 'table' then
  if string.find(generation.err, 'not an integer', 1, true) then return {} end
  return generation
end
redis.call('HSET', KEYS[1], 'o', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
for i = 1, #fields, 2 do
  if fields[i] == 'g' then fields[i + 1] = tostring(generation) end
end
return fields
""")

# KEYS: clock, by which Redis Cluster knows where. ARGV: a channel, a message.
SEND = Script("return redis.call('PUBLISH', ARGV[1], ARGV[2])")
