-- Removes all entries of a node from a room, and publishes that if there were any.
local entries, here, rooms_of, live, channel = unpack(KEYS)
local publish, name, node = ARGV[1], ARGV[2], ARGV[3]

local had = redis.call('UNLINK', entries) + redis.call('HEXISTS', here, node) > 0
remove_node(here, rooms_of, live, name, node)
if had then publish_change(here, publish, channel, 'g', node, '') end
