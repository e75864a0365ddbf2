-- A shard's offset: its last one, or the highest that the caller has seen in any shard, so that messages that are stored later have
-- higher ones. If it is below what the caller knows that this shard had, Redis has lost data: numbering goes on well above that, so
-- that nothing new is taken for old. Returns whether that was so, too.
local function last(offset, known, seen)
  local lost = offset < known
  if lost then
    offset = known + 1000000
  end
  return math.max(offset, seen), lost
end

-- The same for a counter and an incarnation: if data was lost, the next incarnation begins, and the numbers of the outbox go on from the
-- time.
local function last_of(counter, log, known, seen, fresh)
  local offset, lost = last(tonumber(redis.call('GET', counter) or '0'), known, seen)
  if lost then
    redis.call('SET', counter, string.format('%.0f', offset))
    redis.call('HSET', log, 'secret', fresh, 'floor', string.format('%.0f', offset))
    redis.call('HDEL', log, 'outbox')
  end
  return offset, lost
end
