-- Reads what a room has between two offsets, and whether nothing behind the first was deleted.
local key, messages = unpack(KEYS)
local cutoff, after, upto = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])

local room = load(key)
if not room then
  return { '1', '0' }
end
local gone = room.trimmed
local old = expired(room, messages, cutoff)
if old > 0 then
  gone = tonumber(redis.call('ZRANGE', messages, old - 1, old - 1, 'WITHSCORES')[2])
end
local page = { gone <= after and '1' or '0', '0' }
local from = '(' .. int(math.max(after, gone))
local total = redis.call('ZCOUNT', messages, from, upto)
local taken = take(page, total, most, bytes, function(done, count)
  return redis.call('ZRANGEBYSCORE', messages, from, upto, 'LIMIT', done, count)
end)
if taken < total then page[2] = '1' end
return page
