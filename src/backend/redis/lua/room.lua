-- Rooms. A room is a hash:
--   epoch, head (last number), offset (of that message), oldest (first number that is kept),
--   trimmed (offset of the newest message that was deleted), ts (when it was last written to, or used),
--   front (when the oldest kept message was stored), was (the epoch before this one, if Redis has lost data).
-- Its messages are a sorted set by offset; as numbers have no gaps, a message's rank is its number less `oldest`.
-- An entry is "seq offset ts length\n", with the length of its data, and then the JSON that the node wrote.

local CHUNK = 64

local function int(number)
  return string.format('%.0f', number)
end

local function load(key)
  local f = redis.call('HMGET', key, 'epoch', 'head', 'offset', 'oldest', 'trimmed', 'ts', 'front', 'was')
  if not f[1] then
    return nil
  end
  return {
    key = key, epoch = f[1], head = tonumber(f[2]), offset = tonumber(f[3]), oldest = tonumber(f[4]),
    trimmed = tonumber(f[5]), ts = tonumber(f[6]), front = tonumber(f[7]), was = f[8],
  }
end

local function fresh(key, epoch, now)
  return { key = key, epoch = epoch, head = 0, offset = 0, oldest = 1, trimmed = 0, ts = now, front = 0 }
end

local function save(room)
  redis.call('HSET', room.key, 'epoch', room.epoch, 'head', int(room.head), 'offset', int(room.offset),
    'oldest', int(room.oldest), 'trimmed', int(room.trimmed), 'ts', int(room.ts), 'front', int(room.front))
  if room.was then redis.call('HSET', room.key, 'was', room.was) end
end

-- Schedules a room for trimming; an earlier time stays.
local function due(rooms, name, time)
  redis.call('ZADD', rooms, 'LT', int(time), name)
end

local function stored_at(messages, rank)
  local entry = redis.call('ZRANGE', messages, rank, rank)[1]
  return tonumber(string.match(entry, '^%d+ %d+ (%d+)'))
end

-- Deletes the first messages.
local function drop(room, messages, count)
  local last = redis.call('ZRANGE', messages, count - 1, count - 1, 'WITHSCORES')
  room.trimmed = tonumber(last[2])
  room.oldest = room.oldest + count
  redis.call('ZREMRANGEBYRANK', messages, 0, count - 1)
  if room.oldest <= room.head then
    room.front = stored_at(messages, 0)
  end
end

-- How many of the first messages were stored before `cutoff`. Times never decrease within a room.
local function expired(room, messages, cutoff)
  if room.oldest > room.head or room.front >= cutoff then
    return 0
  end
  local old, young = 0, room.head - room.oldest + 1
  while young - old > 1 do
    local middle = math.floor((old + young) / 2)
    if stored_at(messages, middle) < cutoff then old = middle else young = middle end
  end
  return young
end

-- Appends entries to `page` as far as they fit, and at least one if `most` is not 0. `next(first, count)` returns entries from
-- position `first` of `total` on. Returns how many were appended.
local function take(page, total, most, bytes, next)
  local taken, space = 0, bytes
  while taken < total and taken < most do
    for _, entry in ipairs(next(taken, math.min(CHUNK, total - taken, most - taken))) do
      space = space - tonumber(string.match(entry, '^%d+ %d+ %d+ (%d+)\n'))
      if taken > 0 and space < 0 then
        return taken
      end
      page[#page + 1] = entry
      taken = taken + 1
    end
  end
  return taken
end
