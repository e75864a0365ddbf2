-- Does what storing a message does, on keys of its own that expire, and checks the types of the keys that all rooms of the
-- partition share.
local offset, rooms, ended, live, nodes, log, forgotten, outbox, id, hash, set, channel = unpack(KEYS)
local publish, now, keep = ARGV[1], ARGV[2], ARGV[3]

if not tonumber(redis.call('GET', offset) or '0') then
  return redis.error_reply('ERR the offset of the shard is no number')
end
redis.call('ZCARD', rooms)
redis.call('ZCARD', ended)
redis.call('ZCARD', live)
redis.call('SCARD', nodes)
redis.call('HLEN', log)
redis.call('HLEN', forgotten)
redis.call('XLEN', outbox)
redis.call('SET', id, now, 'PX', keep)
redis.call('HSET', hash, 'at', now)
redis.call('PEXPIRE', hash, keep)
redis.call('ZADD', set, now, now)
redis.call('ZREMRANGEBYRANK', set, 0, -2)
redis.call('PEXPIRE', set, keep)
redis.call(publish, channel, now)
