-- Reads what a room has between two offsets, and says whether nothing is gone that came after the first.
local key, messages = unpack(KEYS)
local cutoff, after, upto = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])

local room = load(key)
if not room then
  return { '1', '0' }
end
if expire(room, messages, cutoff) then save(room) end
local answer = { room.trimmed <= tonumber(after) and '1' or '0', '0' }
local total = redis.call('ZCOUNT', messages, '(' .. after, upto)
local taken = take(answer, total, most, bytes, function(done, count)
  return redis.call('ZRANGEBYSCORE', messages, '(' .. after, upto, 'LIMIT', done, count)
end)
if taken < total then answer[2] = '1' end
return answer
