-- Reads messages of several rooms by offset: as many, from the first on, as have at most so many bytes of data, but at least one. One that
-- is gone is nil.
local bytes = tonumber(ARGV[1])

local found = {}
for nth, messages in ipairs(KEYS) do
  local offset = ARGV[nth + 1]
  local entry = redis.call('ZRANGEBYSCORE', messages, offset, offset)[1]
  if entry then
    bytes = bytes - tonumber(string.match(entry, '^%d+ %d+ %d+ (%d+)\n'))
    if nth > 1 and bytes < 0 then break end
  end
  found[nth] = entry or false
end
return found
