-- Sessions: a hash each (body, user, and when it ended), a set of them for each user, and those that have ended by time.
-- What the keys of sessions begin with, those that have ended, and what the keys of users begin with.
local all, ended, users = KEYS[1], KEYS[2], KEYS[3]
local verb, name, value = ARGV[1], ARGV[2], ARGV[3]
local session = all .. name

local function forget(key, pid)
  local user = redis.call('HGET', key, 'user')
  if user then redis.call('SREM', users .. user, pid) end
  redis.call('DEL', key)
  redis.call('ZREM', ended, pid)
end

if verb == 'save' then
  redis.call('HSET', session, 'user', ARGV[4], 'body', value)
  redis.call('HDEL', session, 'ended')
  redis.call('ZREM', ended, name)
  redis.call('SADD', users .. ARGV[4], name)
elseif verb == 'end' then
  if redis.call('EXISTS', session) == 1 and redis.call('HSETNX', session, 'ended', value) == 1 then
    redis.call('ZADD', ended, value, name)
  end
elseif verb == 'forget' then
  forget(session, name)
elseif verb == 'forget user' then
  for _, pid in ipairs(redis.call('SMEMBERS', users .. name)) do
    forget(all .. pid, pid)
  end
elseif verb == 'expel' then
  for _, pid in ipairs(redis.call('SMEMBERS', users .. name)) do
    local body = redis.call('HGET', all .. pid, 'body')
    local said = body and cjson.decode(body)
    if said and said.namespace == value then
      for nth, room in ipairs(said.rooms) do
        if room[1] == ARGV[4] then
          table.remove(said.rooms, nth)
          -- No list is empty: a session is in its user's personal room at least, which nobody is taken out of.
          redis.call('HSET', all .. pid, 'body', cjson.encode(said))
          break
        end
      end
    end
  end
elseif verb == 'sweep' then
  local old = redis.call('ZRANGEBYSCORE', ended, '-inf', '(' .. value, 'LIMIT', 0, 100)
  for _, pid in ipairs(old) do
    forget(all .. pid, pid)
  end
  return #old
end
return 0
