-- Moves a user's read marker forward, not beyond the room's last message.
local key, markers, times, rooms = unpack(KEYS)
local now, name, user, number = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local noted, fading, stale = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local room = load(key)
if not room then
  return { '0', '0', '0' }
end
if room.ts < fading then
  redis.call('HSET', key, 'ts', int(now))
end
local old = tonumber(redis.call('HGET', markers, user) or '0')
local seq = math.max(old, math.min(number, room.head))
local set = tonumber(redis.call('ZSCORE', times, user) or '0')
if seq > old or (seq > 0 and set < noted) then
  redis.call('HSET', markers, user, int(seq))
  redis.call('ZADD', times, int(now), user)
  due(rooms, name, now + stale + 1)
end
return { int(seq), int(room.head), seq > old and '1' or '0' }
