-- Sets which users a node has in rooms, in order, and adds the events that follow from it. Returns the number of the outbox's last event.
local present, own, nodes, stream, log = unpack(KEYS)
local node = ARGV[1]
local outbox = { stream = stream, log = log, max = ARGV[2], known = tonumber(ARGV[3]) }

local is_new_node = false
for at = 4, #ARGV, 4 do
  local name, user, is_member, ts = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local member = name .. '\n' .. user
  if is_member == '1' then
    if redis.call('SADD', own, member) == 1 then
      is_new_node = true
      count_in(present, outbox, name, ts, user)
    end
  elseif redis.call('SREM', own, member) == 1 then
    count_out(present, outbox, name, ts, user)
  end
end
if is_new_node then redis.call('SADD', nodes, node) end
return redis.call('HGET', log, 'outbox') or '0'
