-- What every script on who is in a room begins with. What a node has there is a hash: user -> what it has of it, as JSON. A
-- room's own hash names those nodes, and has the `version` of all of it together: that grows with each change, by the clock
-- too, so that it never comes again, not even when Redis has lost something.

-- How long the version of a room that nobody is in is remembered, in milliseconds: longer than any node takes to compare.
local REMEMBERED = 60000

local function int(number)
  return string.format('%.0f', number)
end

-- Publishes a change behind the versions before and after it, and the node that it is of.
local function tell(here, publish, channel, kind, node, body)
  local before = tonumber(redis.call('HGET', here, 'version') or '0')
  local time = redis.call('TIME')
  local version = math.max(before + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', here, 'version', int(version))
  redis.call(publish, channel, kind .. int(before) .. ' ' .. int(version) .. ' ' .. node .. '\n' .. body)
end

-- Notes that a node has nobody in a room any more.
local function vacate(here, mine, live, name, node)
  redis.call('HDEL', here, node)
  redis.call('SREM', mine, name)
  if redis.call('HLEN', here) <= 1 then
    redis.call('ZREM', live, name)
    redis.call('PEXPIRE', here, REMEMBERED)
  end
end
