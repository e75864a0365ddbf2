-- Who is in a room: its version, then each node's name, without one of them, and what that node has there.
local here, entries, but = KEYS[1], ARGV[1], ARGV[2]

local answer = { redis.call('HGET', here, 'version') or '0' }
for _, node in ipairs(redis.call('HKEYS', here)) do
  if node ~= 'version' and node ~= but then
    answer[#answer + 1] = node
    answer[#answer + 1] = redis.call('HGETALL', entries .. node)
  end
end
return answer
