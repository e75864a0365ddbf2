-- Whether a shard may have lost data, for a node that starts and knows nothing itself. Returns `same`; `wait`: a running node has
-- to confirm the data first; or `lost`: the next incarnation was begun.
--
-- The incarnation records which process of Redis a node last found complete (`server`, `at`), and the shard's last offset at the
-- last orderly shutdown (`closed`). Another process, which was started since and confirmed by no node, may have older data.
local counter, log = unpack(KEYS)
local server, uptime, fresh_secret = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local is_alone, is_restored = ARGV[4] == '1', ARGV[5] == '1'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function record()
  -- Where Redis takes no writes, another node records it later.
  if server ~= '' then redis.pcall('HSET', log, 'server', server, 'at', string.format('%.0f', now)) end
end

local f = redis.call('HMGET', log, 'secret', 'server', 'at', 'closed')
local offset = redis.call('GET', counter) or '0'
if not f[1] then
  redis.call('HSET', log, 'secret', fresh_secret)
  record()
  return 'same'
end
if not is_restored then
  local is_known = not f[2] or server == '' or f[2] == server or uptime >= now - tonumber(f[3])
  if not is_known and f[4] ~= offset then
    if not is_alone then return 'wait' end
    is_restored = true
  end
end
if is_restored then
  local floor = string.format('%.0f', tonumber(offset) + 1000000)
  redis.call('SET', counter, floor)
  redis.call('HSET', log, 'secret', fresh_secret, 'floor', floor)
  redis.call('HDEL', log, 'outbox')
end
if is_restored or f[2] ~= server then record() end
return is_restored and 'lost' or 'same'
