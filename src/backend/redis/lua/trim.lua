-- Trims a room that is due: deletes what retention no longer keeps, or forgets the room, and schedules the next time.
local key, messages, markers, times, rooms, forgotten = unpack(KEYS)
local now, name, cutoff = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local keep, age, forget, stale = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local slot = ARGV[8]

local room = load(key)
if room then
  local old = expired(room, messages, cutoff)
  if old > 0 then drop(room, messages, old) end
  local held = room.head + 1 - room.oldest
  if held > keep then drop(room, messages, held - keep) end
  save(room)
end
if not room or (room.oldest > room.head and room.ts < now - forget) then
  redis.call('DEL', key, messages, markers, times)
  redis.call('ZREM', rooms, name)
  -- A room without a message may get its epoch again. Earlier versions stored rooms that were only read.
  if not room or room.head > 0 then redis.call('HINCRBY', forgotten, slot, 1) end
  return
end
local users = redis.call('ZRANGEBYSCORE', times, '-inf', '(' .. int(now - stale), 'LIMIT', 0, 500)
if #users > 0 then
  redis.call('HDEL', markers, unpack(users))
  redis.call('ZREM', times, unpack(users))
end
local time = room.ts + forget + 1
if room.oldest <= room.head then time = room.front + age + 1 end
local first = redis.call('ZRANGE', times, 0, 0, 'WITHSCORES')
if first[2] then time = math.min(time, tonumber(first[2]) + stale + 1) end
redis.call('ZADD', rooms, int(time), name)
