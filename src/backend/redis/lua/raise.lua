-- Raises a shard's offset to the highest that the caller has seen in any shard. Returns the offset, whether Redis had lost data, and
-- the floor of the incarnation. With a channel it publishes a barrier there: messages behind it have higher offsets, and those
-- that have not were published before it.
local counter, log, channel = unpack(KEYS)
local known, seen, fresh_secret = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local old = tonumber(redis.call('GET', counter) or '0')
local offset, lost = last_of(counter, log, known, seen, fresh_secret)
local text = string.format('%.0f', offset)
if offset > old and not lost then
  redis.call('SET', counter, text)
end
local current = incarnation(log, fresh_secret)
if channel then
  redis.call(ARGV[4], channel, ARGV[5] .. ' ' .. text)
end
return { text, lost and '1' or '0', string.format('%.0f', current.floor) }
