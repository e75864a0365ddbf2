-- Sessions: a hash each (body, user, owner, when it ended, and how many nodes have claimed it), a set of them for each user, those that have ended by time,
-- and a set for each node of those that go on there: the node is their owner, and no other can store them or end them.
-- What the keys of sessions begin with, those that have ended, what the keys of users begin with, what those of nodes begin
-- with, and the nodes that have anything in this part.
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

local function go_on(key, pid, node)
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
    -- Whoever found it before another node claimed it comes too late, as does who found one that was forgotten since.
    if verb == 'claim' and (redis.call('HGET', session, 'claims') or '0') ~= ARGV[6] then return 1 end
    if owner then disown(name, owner) end
  end
  if verb == 'claim' then redis.call('HINCRBY', session, 'claims', 1) end
  redis.call('HSET', session, 'user', user, 'body', value, 'owner', node)
  redis.call('SADD', users .. user, name)
  go_on(session, name, node)
elseif verb == 'resume' then
  for nth = 3, #ARGV do
    local key = all .. ARGV[nth]
    if redis.call('HGET', key, 'owner') == name then go_on(key, ARGV[nth], name) end
  end
elseif verb == 'end' then
  local node = ARGV[4]
  local owner = redis.call('HGET', session, 'owner')
  if not owner or owner == node then
    disown(name, node)
    finish(session, name, value)
  end
elseif verb == 'abandon' then
  local lost = redis.call('SPOP', owned .. name, 100)
  for _, pid in ipairs(lost) do
    if redis.call('HGET', all .. pid, 'owner') == name then finish(all .. pid, pid, value) end
  end
  return #lost
elseif verb == 'forget' then
  -- What goes on elsewhere is not this node's to forget.
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
    local said = body and cjson.decode(body)
    if said and said.namespace == value then
      for nth, room in ipairs(said.rooms) do
        if room[1] == ARGV[4] then
          table.remove(said.rooms, nth)
          said.lost = said.lost or {}
          table.insert(said.lost, { ARGV[4], ARGV[5] })
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
