-- Removes some of a dead node's members, and adds the events that follow from it. Returns how many are left.
local present, own, stream, log = unpack(KEYS)
local ts, most = ARGV[1], ARGV[2]
local outbox = { stream = stream, log = log, max = ARGV[3], known = tonumber(ARGV[4]) }

for _, member in ipairs(redis.call('SPOP', own, most)) do
  local name, user = string.match(member, '^([^\n]*)\n(.*)$')
  if name then count_out(present, outbox, name, ts, user) end
end
return redis.call('SCARD', own)
