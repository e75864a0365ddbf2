-- Writes a node's entries of some users in a room ('' removes one), and publishes what has changed.
local entries, here, rooms_of, live, nodes, channel = unpack(KEYS)
local publish, name, node = ARGV[1], ARGV[2], ARGV[3]

local existed = redis.call('EXISTS', entries) == 1
local changed = {}
for at = 4, #ARGV, 2 do
  local user, text = ARGV[at], ARGV[at + 1]
  local is_new
  if text == '' then
    is_new = redis.call('HDEL', entries, user) == 1
  else
    is_new = redis.call('HGET', entries, user) ~= text
    if is_new then redis.call('HSET', entries, user, text) end
  end
  if is_new then changed[#changed + 1] = user .. ' ' .. #text .. '\n' .. text end
end
if #changed == 0 then
  return
end
if redis.call('EXISTS', entries) == 0 then
  remove_node(here, rooms_of, live, name, node)
elseif not existed then
  redis.call('HSET', here, node, '1')
  redis.call('PERSIST', here)
  redis.call('SADD', rooms_of, name)
  redis.call('ZADD', live, 0, name)
  redis.call('SADD', nodes, node)
end
publish_change(here, publish, channel, 'u', node, table.concat(changed))
