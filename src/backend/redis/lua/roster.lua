-- Rosters. A node's entries in a room are a hash, user -> JSON. The room's own hash lists those nodes, and has the `version` of the
-- whole roster, which grows with each change and is never below the clock: so it does not come back, even if Redis has lost data.

-- How long the version of an empty room is kept, in milliseconds: longer than any node takes to compare it.
local REMEMBERED = 60000

local function int(number)
  return string.format('%.0f', number)
end

-- Gives the roster its next version, and publishes a change: the versions before and after it, the node, and the body.
local function publish_change(here, publish, channel, kind, node, body)
  local before = tonumber(redis.call('HGET', here, 'version') or '0')
  local time = redis.call('TIME')
  local version = math.max(before + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', here, 'version', int(version))
  redis.call(publish, channel, kind .. int(before) .. ' ' .. int(version) .. ' ' .. node .. '\n' .. body)
end

-- Removes a node without entries from a room's roster.
local function remove_node(here, rooms_of, live, name, node)
  redis.call('HDEL', here, node)
  redis.call('SREM', rooms_of, name)
  if redis.call('HLEN', here) <= 1 then
    redis.call('ZREM', live, name)
    redis.call('PEXPIRE', here, REMEMBERED)
  end
end
