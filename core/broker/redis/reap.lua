-- Some of the readers and members that a dead process has left behind: the readers are forgotten,
-- the members are for whoever asks to take away, one by one.
-- KEYS  nodes, node, node:readers, node:members
-- ARGV  1 node, 2 prefix of room:readers, 3 how many at most
-- returns  members with their rooms behind them; nil: there was nothing more
if redis.call('EXISTS', KEYS[2]) == 1 then return false end -- it lives
local readers = redis.call('SPOP', KEYS[3], ARGV[3])
for _, entry in ipairs(readers) do
  local loop, room = entry:match('^(%d+):(.*)$')
  redis.call('HDEL', ARGV[2] .. room, ARGV[1] .. '/' .. loop)
end
local members = redis.call('SRANDMEMBER', KEYS[4], ARGV[3])
if #readers == 0 and #members == 0 then
  redis.call('SREM', KEYS[1], ARGV[1])
  return false
end
return members
