-- Gives a room another epoch if it has lost messages that somebody was given: its numbers will be used again.
local offset = redis.call('HGET', KEYS[1], 'offset')
if offset and tonumber(offset) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'epoch', 'head', 'offset')
