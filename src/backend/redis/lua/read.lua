-- Reads a page of a room: after a number, before one, or the last. Of an unwritten room nothing is stored; of an empty one, at
-- most once a day, that it is in use.
local key, messages, rooms, log, forgotten = unpack(KEYS)
local now, fresh_secret, name, slot = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local cutoff, fading = tonumber(ARGV[5]), tonumber(ARGV[6])
local direction, number, most, bytes = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local current = incarnation(log, fresh_secret)
local room = load(key)
if not room then
  return { unwritten(current, forgotten, slot, name, was_removed(rooms, name)), '0', '0', '1', '0' }
end
renew(room, current, name)
local oldest = room.oldest + expired(room, messages, cutoff)
if oldest > room.head and room.head > 0 and room.ts < fading then
  -- Where Redis takes no writes, a later read stores it.
  redis.pcall('HSET', key, 'ts', int(now))
end

local first, last = oldest, room.head
if direction == 'after' then
  first = math.max(math.min(number, room.head) + 1, oldest)
elseif direction == 'before' then
  last = math.min(number, room.head + 1) - 1
end
local total = math.max(last - first + 1, 0)
local page = { room.epoch, int(room.head), int(room.offset), int(oldest), '0' }
local taken = take(page, total, most, bytes, function(done, count)
  if direction == 'after' then
    local rank = first - room.oldest + done
    return redis.call('ZRANGE', messages, rank, rank + count - 1)
  end
  -- Ranks from the end: newest first.
  local rank = room.head - last + done
  return redis.call('ZREVRANGE', messages, rank, rank + count - 1)
end)
if taken < total then page[5] = '1' end
return page
