-- Where an endpoint of the outbox stands (`state`), and which node may send to it (`owner`) until when (`until`). Returns the state, the node
-- that holds the lease, and whether that is the caller.
-- `claim` takes a lease that is free, or renews the caller's; `save` stores the state if no other node has taken the lease since the
-- caller did, and renews it; `release` gives it up; `find` only reads.
-- A lease that ends later than any lease can was made when the clock of Redis was ahead: it counts as expired.
local LONGEST = 3600000

local key, verb, node, length, state = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored, owner, ends = unpack(redis.call('HMGET', key, 'state', 'owner', 'until'))
local left = (tonumber(ends or '0') or 0) - now
local is_free = not owner or left < 0 or left > LONGEST

if (verb == 'claim' and is_free) or (verb ~= 'find' and owner == node) then
  if verb == 'release' then
    redis.call('HDEL', key, 'owner', 'until')
    return { stored, '', '0' }
  end
  redis.call('HSET', key, 'owner', node, 'until', string.format('%.0f', now + length))
  if verb == 'save' then redis.call('HSET', key, 'state', state) end
  return { stored, node, '1' }
end
if is_free then owner = '' end
return { stored, owner, owner == node and '1' or '0' }
