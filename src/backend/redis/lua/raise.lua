-- Raises a lane to what was seen elsewhere, and says where it is, whether it had lost something, and where its incarnation begins. If
-- it is asked to, it says where it is on a channel, too: what comes there later is higher, what is not higher has come before.
local offsets, log, channel = unpack(KEYS)
local known, seen, fresh_secret = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local old = tonumber(redis.call('GET', offsets) or '0')
local offset, lost = last_of(offsets, log, known, seen, fresh_secret)
local text = string.format('%.0f', offset)
if offset > old and not lost then
  redis.call('SET', offsets, text)
end
local current = incarnation(log, fresh_secret)
if channel then
  redis.call(ARGV[4], channel, ARGV[5] .. ' ' .. text)
end
return { text, lost and '1' or '0', string.format('%.0f', current.floor) }
