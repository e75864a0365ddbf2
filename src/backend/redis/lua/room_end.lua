-- Returns where a room ends and its epoch in the present incarnation: epoch, last number, offset of that message.
local key, rooms, log, forgotten = unpack(KEYS)
local fresh_secret, name, slot = ARGV[1], ARGV[2], ARGV[3]

local current = incarnation(log, fresh_secret)
local room = load(key)
if not room then
  return { unwritten(current, forgotten, slot, name, was_removed(rooms, name)), '0', '0' }
end
renew(room, current, name)
return { room.epoch, int(room.head), int(room.offset) }
