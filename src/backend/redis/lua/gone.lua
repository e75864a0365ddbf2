-- Takes out of a room all that a node has there, and tells so, if there is anything.
local entries, here, mine, live, channel = unpack(KEYS)
local publish, name, node = ARGV[1], ARGV[2], ARGV[3]

local had = redis.call('UNLINK', entries) + redis.call('HEXISTS', here, node) > 0
vacate(here, mine, live, name, node)
if had then tell(here, publish, channel, 'g', node, '') end
