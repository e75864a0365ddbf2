-- Sessions: a hash each (body, user, owner, when it ended, how often it was claimed), a set of them for each user, those that have
-- ended by time, and a set for each node of those that are active there. The node is their owner; no other can store or end them.
-- Keys: the prefix of sessions, those that have ended, the prefixes of users and of nodes' sets, and the nodes that have anything in
-- this partition.
local all, ended, users, owned, nodes = unpack(KEYS)
local verb, name, value = ARGV[1], ARGV[2], ARGV[3]
local session = all .. name

local function disown(pid, owner)
  if owner then redis.call('SREM', owned .. owner, pid) end
end

local function forget(key, pid)
  local user = redis.call('HGET', key, 'user')
  if user then redis.call('SREM', users .. user, pid) end
  disown(pid, redis.call('HGET', key, 'owner'))
  redis.call('DEL', key)
  redis.call('ZREM', ended, pid)
end

local function activate(key, pid, node)
  redis.call('HDEL', key, 'ended')
  redis.call('ZREM', ended, pid)
  redis.call('SADD', owned .. node, pid)
  redis.call('SADD', nodes, node)
end

local function finish(key, pid, time)
  if redis.call('EXISTS', key) == 1 and redis.call('HSETNX', key, 'ended', time) == 1 then
    redis.call('ZADD', ended, time, pid)
  end
end

if verb == 'save' or verb == 'claim' then
  local user, node = ARGV[4], ARGV[5]
  local owner = redis.call('HGET', session, 'owner')
  if owner ~= node then
    if owner and verb == 'save' then return 1 end
    -- Too late: another node has claimed it, or it was forgotten, since the caller found it.
    if verb == 'claim' and (redis.call('HGET', session, 'claims') or '0') ~= ARGV[6] then return 1 end
    if owner then disown(name, owner) end
  end
  if verb == 'claim' then redis.call('HINCRBY', session, 'claims', 1) end
  redis.call('HSET', session, 'user', user, 'body', value, 'owner', node)
  redis.call('SADD', users .. user, name)
  activate(session, name, node)
elseif verb == 'resume' then
  for nth = 3, #ARGV do
    local key = all .. ARGV[nth]
    if redis.call('HGET', key, 'owner') == name then activate(key, ARGV[nth], name) end
  end
elseif verb == 'end' then
  local node = ARGV[4]
  local owner = redis.call('HGET', session, 'owner')
  if not owner or owner == node then
    disown(name, node)
    finish(session, name, value)
  end
elseif verb == 'abandon' then
  local left = redis.call('SPOP', owned .. name, 100)
  for _, pid in ipairs(left) do
    if redis.call('HGET', all .. pid, 'owner') == name then finish(all .. pid, pid, value) end
  end
  return #left
elseif verb == 'forget' then
  -- A session that is active on another node is not forgotten.
  local owner = redis.call('HGET', session, 'owner')
  if not owner or owner == value or redis.call('HEXISTS', session, 'ended') == 1 then
    forget(session, name)
  end
elseif verb == 'forget user' then
  for _, pid in ipairs(redis.call('SMEMBERS', users .. name)) do
    forget(all .. pid, pid)
  end
elseif verb == 'expel' then
  for _, pid in ipairs(redis.call('SMEMBERS', users .. name)) do
    local body = redis.call('HGET', all .. pid, 'body')
    local record = body and cjson.decode(body)
    if record and record.namespace == value then
      for nth, room in ipairs(record.rooms) do
        if room[1] == ARGV[4] then
          table.remove(record.rooms, nth)
          record.lost = record.lost or {}
          table.insert(record.lost, { ARGV[4], ARGV[5] })
          -- Neither list is empty: a session is at least in its user's personal room, which nobody leaves.
          redis.call('HSET', all .. pid, 'body', cjson.encode(record))
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
