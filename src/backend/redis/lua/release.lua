-- Deletes a node's lease if it has expired.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = redis.call('ZSCORE', KEYS[1], ARGV[1])
if own and tonumber(own) < now then redis.call('ZREM', KEYS[1], ARGV[1]) end
