-- Takes a node's lease for so many milliseconds from now. Answers whether it was lost before, in how many milliseconds the
-- next lease of another node ends, how many others live, and then those, followed by those whose leases have ended.
-- A lease that would go on for far longer than any is left from when Redis's clock was ahead: it is cut short, and its node,
-- if it lives, renews it in time.
local LONGEST = 3600000

local leases, node, length = KEYS[1], ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = redis.call('ZSCORE', leases, node)
redis.call('ZADD', leases, now + length, node)
local answer = { (own and tonumber(own) >= now) and '0' or '1', tostring(length), '0' }
local living, ended = 0, {}
local all = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
for at = 1, #all, 2 do
  local other, left = all[at], tonumber(all[at + 1]) - now
  if left > LONGEST then
    left = length
    redis.call('ZADD', leases, now + length, other)
  end
  if other ~= node and left < 0 then
    ended[#ended + 1] = other
  elseif other ~= node then
    if living == 0 then answer[2] = string.format('%.0f', math.min(left, length)) end
    living = living + 1
    answer[#answer + 1] = other
  end
end
answer[3] = tostring(living)
for _, other in ipairs(ended) do
  answer[#answer + 1] = other
end
return answer
