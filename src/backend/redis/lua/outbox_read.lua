-- Reads events behind a number: the number of the last event of all, the one behind which these numbers began, then the events as the
-- stream has them.
local outbox = { stream = KEYS[1], log = KEYS[2], known = tonumber(ARGV[1]) }
local after, most = tonumber(ARGV[2]), ARGV[3]

local last = string.format('%.0f', last_number(outbox))
local from = string.format('%.0f', after + 1)
local began = redis.call('HGET', outbox.log, 'outbox_began') or last
return { last, began, redis.call('XRANGE', outbox.stream, from, '+', 'COUNT', most) }
