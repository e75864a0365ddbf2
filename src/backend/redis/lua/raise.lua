-- The last offset of a namespace. If it is lower than what somebody was given, Redis has lost something: numbering goes on
-- well above, so that nothing that comes is taken for old. Answers whether that was so, too.
local offset, known = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
local lost = offset < known
if lost then
  offset = known + 1000000
  redis.call('SET', KEYS[1], string.format('%.0f', offset))
end
return { string.format('%.0f', offset), lost and '1' or '0' }
