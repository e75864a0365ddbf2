-- Reads part of a room: after a number, before one, or the last; creates the room if there is none.
local key, messages, rooms = unpack(KEYS)
local now, epoch, name = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local cutoff, fading, forget = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local way, number, most, bytes = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local room = load(key)
if not room then
  room = fresh(key, epoch, now)
  save(room)
  due(rooms, name, now + forget + 1)
else
  local changed = expire(room, messages, cutoff)
  if room.oldest > room.head and room.ts < fading then
    room.ts, changed = now, true
  end
  if changed then save(room) end
end

local first, last = room.oldest, room.head
if way == 'after' then
  first = math.max(math.min(number, room.head) + 1, room.oldest)
elseif way == 'before' then
  last = math.min(number, room.head + 1) - 1
end
local total = math.max(last - first + 1, 0)
local answer = { room.epoch, int(room.head), int(room.offset), int(room.oldest), '0' }
local taken = take(answer, total, most, bytes, function(done, count)
  if way == 'after' then
    local rank = first - room.oldest + done
    return redis.call('ZRANGE', messages, rank, rank + count - 1)
  end
  -- Ranks from the end; newest first.
  local rank = room.head - last + done
  return redis.call('ZREVRANGE', messages, rank, rank + count - 1)
end)
if taken < total then answer[5] = '1' end
return answer
