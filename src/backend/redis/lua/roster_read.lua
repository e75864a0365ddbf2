-- Reads a roster: its version, then each node but one, and that node's entries.
local here, entries, without = KEYS[1], ARGV[1], ARGV[2]

local roster = { redis.call('HGET', here, 'version') or '0' }
for _, node in ipairs(redis.call('HKEYS', here)) do
  if node ~= 'version' and node ~= without then
    roster[#roster + 1] = node
    roster[#roster + 1] = redis.call('HGETALL', entries .. node)
  end
end
return roster
