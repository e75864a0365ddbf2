-- The outbox of a shard: a stream of events. The first half of an id is the event's number; the last one is also a field of the shard's
-- incarnation, so that numbers go on when all events are deleted. An outbox is a table: `stream`, `log` (the incarnation), `max`
-- (how many events are kept), `known` (the highest number that the caller has seen).

-- The number of the last event. If Redis does not have it, or one that is below what the caller has seen, it has lost data: numbers go on
-- from the time, in microseconds, above all that there were.
local function last_number(outbox)
  local last = tonumber(redis.call('HGET', outbox.log, 'outbox') or '0')
  if last > 0 and last >= outbox.known then
    return last
  end
  local time = redis.call('TIME')
  local newest = redis.call('XREVRANGE', outbox.stream, '+', '-', 'COUNT', 1)[1]
  newest = newest and tonumber(string.match(newest[1], '^%d+')) or 0
  last = math.max(time[1] * 1000000 + time[2], outbox.known, newest)
  -- Where Redis takes no writes, a later call stores it.
  redis.pcall('HSET', outbox.log, 'outbox', string.format('%.0f', last), 'outbox_began', string.format('%.0f', last))
  return last
end

-- Adds an event: names and values.
local function add_event(outbox, ...)
  local number = string.format('%.0f', last_number(outbox) + 1)
  redis.call('HSET', outbox.log, 'outbox', number)
  redis.call('XADD', outbox.stream, 'MAXLEN', '~', outbox.max, number .. '-0', ...)
end
