-- Where a lane's offsets are: its last one, or what somebody saw in any lane if that is more, so that whatever is stored
-- later has a higher one. If it is lower than what somebody knows that this lane had, Redis has lost something: numbering
-- goes on well above, so that nothing that comes is taken for old. Answers whether that was so, too.
local function last(offset, known, seen)
  local lost = offset < known
  if lost then
    offset = known + 1000000
  end
  return math.max(offset, seen), lost
end

-- The same, of the lane whose counter and incarnation these are: if something was lost, the next incarnation begins above that.
local function last_of(offsets, log, known, seen, fresh)
  local offset, lost = last(tonumber(redis.call('GET', offsets) or '0'), known, seen)
  if lost then
    redis.call('SET', offsets, string.format('%.0f', offset))
    redis.call('HSET', log, 'secret', fresh, 'floor', string.format('%.0f', offset))
  end
  return offset, lost
end
