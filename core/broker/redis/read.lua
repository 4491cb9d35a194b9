-- What a loop that begins to listen, or listens again, has missed. The room is made if there is
-- none, so that what is said from now on continues what is shown; and it is kept for a while more:
-- what somebody listens to is read from time to time (redis_room.c).
-- KEYS  meta, history
-- ARGV  1 run, 2 keeps, 3 fresh epoch, 4 epoch and 5 offset that it knows
-- returns  epoch, offset, entries after what it knows, or all; the newest first
local UNUSED_MS, EMPTY_MS = 86400000, 300000 -- anybody can read: what nobody spoke in goes soon
local epoch, offset = room_find(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
local known = tonumber(ARGV[5])
if epoch and epoch == ARGV[4] and known > offset then -- what was told is lost, however it is kept
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'e', epoch, 'r', ARGV[1], 'k', ARGV[2])
end
local keep_ms = offset > 0 and UNUSED_MS or EMPTY_MS
if not epoch then
  epoch = room_make(KEYS[1], ARGV[1], ARGV[2], ARGV[3], keep_ms)
elseif redis.call('PTTL', KEYS[1]) < keep_ms / 2 then
  redis.call('PEXPIRE', KEYS[1], keep_ms)
end
local entries = {}
if epoch ~= ARGV[4] then
  entries = redis.call('LRANGE', KEYS[2], 0, -1)
elseif known < offset then
  entries = redis.call('LRANGE', KEYS[2], 0, offset - known - 1)
end
return {epoch, int(offset), entries}
