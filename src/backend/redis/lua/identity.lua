-- Whether a lane's log is the one that nodes knew: asked by a node that starts, and knows nothing itself. `same`, `wait` for those that
-- know, or `lost`: the next incarnation was begun.
--
-- The incarnation notes which process of Redis nodes last found as they knew it (`server`, `at`), and where the lane was when the
-- last of them stopped in order (`closed`). Another process that has begun since, and that no node has looked at, may have been
-- given older data.
local offsets, log = unpack(KEYS)
local server, uptime, fresh_secret = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local is_alone, is_other = ARGV[4] == '1', ARGV[5] == '1'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function note()
  -- Where Redis takes no writes, it is noted by another node that starts.
  if server ~= '' then redis.pcall('HSET', log, 'server', server, 'at', string.format('%.0f', now)) end
end

local f = redis.call('HMGET', log, 'secret', 'server', 'at', 'closed')
local offset = redis.call('GET', offsets) or '0'
if not f[1] then
  redis.call('HSET', log, 'secret', fresh_secret)
  note()
  return 'same'
end
if not is_other then
  local is_known = not f[2] or server == '' or f[2] == server or uptime >= now - tonumber(f[3])
  if not is_known and f[4] ~= offset then
    if not is_alone then return 'wait' end
    is_other = true
  end
end
if is_other then
  local floor = string.format('%.0f', tonumber(offset) + 1000000)
  redis.call('SET', offsets, floor)
  redis.call('HSET', log, 'secret', fresh_secret, 'floor', floor)
end
if is_other or f[2] ~= server then note() end
return is_other and 'lost' or 'same'
