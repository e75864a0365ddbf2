-- Adds an event to the outbox for each document of a shard that changed before a time and is to be told of. Returns the number of the outbox's
-- last event.
local untold, stream, log = unpack(KEYS)
local before, now, most, namespace = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local outbox = { stream = stream, log = log, max = ARGV[5], known = tonumber(ARGV[6]) }

for _, name in ipairs(redis.call('ZRANGEBYSCORE', untold, '-inf', '(' .. before, 'LIMIT', 0, most)) do
  redis.call('ZREM', untold, name)
  add_event(outbox, 'kind', 'document.changed', 'room', namespace .. ' ' .. name, 'ts', now)
end
return redis.call('HGET', log, 'outbox') or '0'
