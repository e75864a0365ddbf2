-- The epochs of rooms. A lane's log has an incarnation, a hash: `secret`, which the epochs of rooms are derived from that nobody has
-- written to in it, and `floor`, above which all its offsets are. Where Redis has lost something, the next incarnation begins, and
-- every room has another epoch in it, because its numbers may be used again.

local function incarnation(key, fresh)
  local f = redis.call('HMGET', key, 'secret', 'floor')
  if not f[1] then
    redis.call('HSET', key, 'secret', fresh)
    f[1] = fresh
  end
  return { secret = f[1], floor = tonumber(f[2] or '0') }
end

-- The epoch of a room that nobody has written to. How many rooms were forgotten that share its counter is part of it, so that a
-- forgotten room never has an epoch again that it had.
local function unwritten(log, forgotten, slot, name, more)
  local count = tonumber(redis.call('HGET', forgotten, slot) or '0') + (more or 0)
  return string.sub(redis.sha1hex(log.secret .. ' ' .. string.format('%.0f', count) .. ' ' .. name), 1, 10)
end

-- Whether a room that is not there was, and Redis has removed it by itself: it is listed among those to look after.
local function was_removed(rooms, name)
  return redis.call('ZSCORE', rooms, name) and 1 or 0
end

-- Gives a room that was last written in an earlier incarnation the epoch that it has in this one, for as long as it is there.
local function renew(room, log, name)
  if room.offset < log.floor then
    room.was = room.epoch
    room.epoch = string.sub(redis.sha1hex(log.secret .. ' ' .. room.was .. ' ' .. name), 1, 10)
  end
end
