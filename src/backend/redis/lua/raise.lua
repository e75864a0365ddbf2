-- Raises a lane to what was seen elsewhere, and says where it is. If it is asked to, it says so on a channel, too: what
-- comes there later is higher, what is not higher has come before.
local old = tonumber(redis.call('GET', KEYS[1]) or '0')
local offset, lost = last(old, tonumber(ARGV[1]), tonumber(ARGV[2]))
local text = string.format('%.0f', offset)
if offset > old then
  redis.call('SET', KEYS[1], text)
end
if KEYS[2] then
  redis.call(ARGV[3], KEYS[2], ARGV[4] .. ' ' .. text)
end
return { text, lost and '1' or '0' }
