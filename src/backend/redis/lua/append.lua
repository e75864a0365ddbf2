-- Returns the first result for a repeated id; else numbers a message, stores it and publishes it.
local counter, key, messages, id, rooms, channel, log, forgotten, stream = unpack(KEYS)
local now, fresh_secret, name, given, length, body = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local keep, age, forget = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local window, publish, slot = tonumber(ARGV[10]), ARGV[11], ARGV[12]
local known, seen, shards, shard = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])

local kinds = ARGV[17]
local outbox = { stream = stream, log = log, max = ARGV[18], known = tonumber(ARGV[19]) }

local before, lost = last_of(counter, log, known, seen, fresh_secret)
local current = incarnation(log, fresh_secret)
local room = load(key)
if room then renew(room, current, name) end
if not room then
  if was_removed(rooms, name) == 1 then
    redis.call('HINCRBY', forgotten, slot, 1)
    redis.call('DEL', messages)
  end
  room = fresh(key, unwritten(current, forgotten, slot, name), now)
  due(rooms, name, now + forget + 1)
elseif given == '1' then
  -- Keys expire by the clock of Redis; the idempotency window goes by that of the nodes.
  local use = redis.call('GET', id)
  if use then
    local of, seq, offset, ts, sent = string.match(use, '^(%S+) (%d+) (%d+) (%d+) (%d+)$')
    if (of == room.epoch or of == room.was) and tonumber(sent) >= now - window then
      return { room.epoch, seq, offset, ts, '1', lost and '1' or '0' }
    end
  end
end

local ts = math.max(now, room.ts)
local seq = room.head + 1
-- Offsets of a shard share a remainder, so no two messages have the same offset.
local offset = (math.floor(before / shards) + 1) * shards + shard
redis.call('SET', counter, int(offset))
local entry = int(seq) .. ' ' .. int(offset) .. ' ' .. int(ts) .. ' ' .. length .. '\n' .. body
local empty = room.oldest > room.head
room.ts, room.head, room.offset = ts, seq, offset
if keep == 0 then
  if not empty then redis.call('DEL', messages) end
  room.oldest, room.trimmed = seq + 1, offset
else
  redis.call('ZADD', messages, int(offset), entry)
  if empty then
    room.front = ts
    due(rooms, name, ts + age + 1)
  end
  -- In batches: cheaper than one deletion per message.
  local held = seq + 1 - room.oldest
  if held > keep + math.max(64, math.floor(keep / 10)) then
    drop(room, messages, held - keep)
  end
end
save(room)
if given == '1' then
  local use = room.epoch .. ' ' .. int(seq) .. ' ' .. int(offset) .. ' ' .. int(ts) .. ' ' .. int(now)
  redis.call('SET', id, use, 'PX', int(window + 1000))
end
if keep > 0 then
  for kind in string.gmatch(kinds, '%S+') do
    add_event(outbox, 'kind', kind, 'room', name, 'offset', int(offset))
  end
end
redis.call(publish, channel, 'm' .. room.epoch .. ' ' .. entry)
return { room.epoch, int(seq), int(offset), int(ts), '0', lost and '1' or '0' }
