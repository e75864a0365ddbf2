-- A document: a hash (last, updates, bytes, changed, through), its updates by number, a snapshot of everything up to 'through', and the
-- names of all documents of the partition. Updates are '<number> <bytes>': members of a sorted set have to differ. The names of those that
-- have changed, and of which that is to be told, are in another sorted set, by the time.
local document, updates, snapshot, names, untold = unpack(KEYS)
local verb, name = ARGV[1], ARGV[2]

local function int(value)
  return string.format('%.0f', value)
end

local function field(name)
  return tonumber(redis.call('HGET', document, name) or 0) or 0
end

if verb == 'append' then
  local first, now, max, is_told, update = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
  local last, bytes = field('last'), field('bytes') + #update
  -- Sent again because the connection was lost: it is the last one already. It is not counted twice, and not refused for itself.
  if redis.call('ZSCORE', updates, int(last) .. ' ' .. update) then return int(last) end
  if bytes > max then return '0' end
  local number = first + 1
  if redis.call('EXISTS', document) == 1 then number = last + 1 end
  redis.call('HSET', document, 'last', int(number), 'bytes', int(bytes), 'changed', now)
  redis.call('HINCRBY', document, 'updates', 1)
  redis.call('ZADD', updates, int(number), int(number) .. ' ' .. update)
  redis.call('ZADD', names, 0, name)
  if is_told == '1' then redis.call('ZADD', untold, 'NX', now, name) end
  return int(number)
end

if verb == 'compact' then
  local through, merged = ARGV[3], ARGV[4]
  if redis.call('ZCOUNT', updates, through, through) == 0 then return '0' end
  local bytes = field('bytes') - redis.call('STRLEN', snapshot) + #merged
  local replaced = redis.call('ZRANGEBYSCORE', updates, '-inf', through)
  for _, update in ipairs(replaced) do
    bytes = bytes - #update + string.find(update, ' ', 1, true)
  end
  redis.call('ZREMRANGEBYSCORE', updates, '-inf', through)
  redis.call('SET', snapshot, merged)
  redis.call('HSET', document, 'through', through, 'bytes', int(bytes))
  redis.call('HINCRBY', document, 'updates', -#replaced)
  return '1'
end

if verb == 'delete' then
  local deleted = redis.call('DEL', document)
  redis.call('DEL', updates, snapshot)
  redis.call('ZREM', names, name)
  redis.call('ZREM', untold, name)
  return int(deleted)
end

-- What is behind a number: through, snapshot, updates.
if redis.call('EXISTS', document) == 0 then return false end
local after, through = tonumber(ARGV[3]), field('through')
local behind = redis.call('ZRANGEBYSCORE', updates, '(' .. ARGV[3], '+inf')
if through > after then
  return { int(through), redis.call('GET', snapshot), behind }
end
return { '0', '', behind }
