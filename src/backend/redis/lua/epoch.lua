-- The epochs of rooms. A shard has an incarnation, a hash: `secret`, from which the epochs of unwritten rooms are derived, and
-- `floor`, above which all of its offsets are. When Redis has lost data, the next incarnation begins, in which every room has
-- another epoch, because numbers may be used again.

-- Reads a shard's incarnation; begins the first one.

local function incarnation(key, fresh)
  local f = redis.call('HMGET', key, 'secret', 'floor')
  if not f[1] then
    redis.call('HSET', key, 'secret', fresh)
    f[1] = fresh
  end
  return { secret = f[1], floor = tonumber(f[2] or '0') }
end

-- The epoch of an unwritten room. It depends on how many rooms with the same counter were forgotten, so that a forgotten room never
-- gets an epoch again that it had.
local function unwritten(log, forgotten, slot, name, more)
  local count = tonumber(redis.call('HGET', forgotten, slot) or '0') + (more or 0)
  return string.sub(redis.sha1hex(log.secret .. ' ' .. string.format('%.0f', count) .. ' ' .. name), 1, 10)
end

-- 1 if Redis has evicted a room that does not exist: it is still listed among the rooms to trim.
local function was_removed(rooms, name)
  return redis.call('ZSCORE', rooms, name) and 1 or 0
end

-- Gives a room that was last written to in an earlier incarnation its epoch in the present one.
local function renew(room, log, name)
  if room.offset < log.floor then
    room.was = room.epoch
    room.epoch = string.sub(redis.sha1hex(log.secret .. ' ' .. room.was .. ' ' .. name), 1, 10)
  end
end
