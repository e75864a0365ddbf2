-- The members of rooms over all nodes. Each node has a set of its own, with "room\nuser" for each; a room has a hash, user -> how many
-- nodes have that user. Only the first and the last of them make events.

-- Adds an event about a user, or about the room if there is none.
local function add_member_event(outbox, kind, name, ts, user)
  if user then
    add_event(outbox, 'kind', kind, 'room', name, 'ts', ts, 'user', user)
  else
    add_event(outbox, 'kind', kind, 'room', name, 'ts', ts)
  end
end

local function is_personal(name)
  return string.find(name, '^%S+ user:') ~= nil
end

-- One more node has a user.
local function count_in(present, outbox, name, ts, user)
  local users = present .. name
  if redis.call('HINCRBY', users, user, 1) > 1 then
    return
  end
  if is_personal(name) then
    add_member_event(outbox, 'user.online', name, ts, user)
    return
  end
  if redis.call('HLEN', users) == 1 then
    add_member_event(outbox, 'room.occupied', name, ts)
  end
  add_member_event(outbox, 'member.joined', name, ts, user)
end

-- One node fewer has a user.
local function count_out(present, outbox, name, ts, user)
  local users = present .. name
  if redis.call('HINCRBY', users, user, -1) > 0 then
    return
  end
  redis.call('HDEL', users, user)
  if is_personal(name) then
    add_member_event(outbox, 'user.offline', name, ts, user)
    return
  end
  add_member_event(outbox, 'member.left', name, ts, user)
  if redis.call('EXISTS', users) == 0 then
    add_member_event(outbox, 'room.vacated', name, ts)
  end
end
