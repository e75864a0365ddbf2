-- Renews a node's lease for so many milliseconds. Returns whether it was lost before, in how many milliseconds the next lease of
-- another node ends, how many other nodes are alive, then those, then the nodes whose leases have expired.
-- A lease that ends later than any lease can was made when the clock of Redis was ahead: it is cut short, and its node, if it is
-- alive, renews it in time.
local LONGEST = 3600000

local leases, node, length = KEYS[1], ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = redis.call('ZSCORE', leases, node)
redis.call('ZADD', leases, now + length, node)
local result = { (own and tonumber(own) >= now) and '0' or '1', tostring(length), '0' }
local alive, expired = 0, {}
local all = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
for at = 1, #all, 2 do
  local other, left = all[at], tonumber(all[at + 1]) - now
  if left > LONGEST then
    left = length
    redis.call('ZADD', leases, now + length, other)
  end
  if other ~= node and left < 0 then
    expired[#expired + 1] = other
  elseif other ~= node then
    if alive == 0 then result[2] = string.format('%.0f', math.min(left, length)) end
    alive = alive + 1
    result[#result + 1] = other
  end
end
result[3] = tostring(alive)
for _, other in ipairs(expired) do
  result[#result + 1] = other
end
return result
