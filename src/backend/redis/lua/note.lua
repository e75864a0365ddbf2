-- Notes what a node has of some users in a room now, '' for nothing more, and tells what is new of that.
local entries, here, mine, live, nodes, channel = unpack(KEYS)
local publish, name, node = ARGV[1], ARGV[2], ARGV[3]

local known = redis.call('EXISTS', entries) == 1
local said = {}
for at = 4, #ARGV, 2 do
  local user, text = ARGV[at], ARGV[at + 1]
  local new
  if text == '' then
    new = redis.call('HDEL', entries, user) == 1
  else
    new = redis.call('HGET', entries, user) ~= text
    if new then redis.call('HSET', entries, user, text) end
  end
  if new then said[#said + 1] = user .. ' ' .. #text .. '\n' .. text end
end
if #said == 0 then
  return
end
if redis.call('EXISTS', entries) == 0 then
  vacate(here, mine, live, name, node)
elseif not known then
  redis.call('HSET', here, node, '1')
  redis.call('PERSIST', here)
  redis.call('SADD', mine, name)
  redis.call('ZADD', live, 0, name)
  redis.call('SADD', nodes, node)
end
tell(here, publish, channel, 'u', node, table.concat(said))
