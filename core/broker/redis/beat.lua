-- A process is alive.
-- KEYS  nodes: set of all that were there; node: hash of what it says of itself
-- ARGV  1 node, 2 ms until it counts as dead, 3 prefix of the keys of nodes, 4… fields and values
-- returns  1 if nobody knew it (any more), and those that are dead
local new = redis.call('HEXISTS', KEYS[2], 'host') == 0
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
local dead = {}
for _, node in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', ARGV[3] .. node) == 0 then dead[#dead + 1] = node end
end
return {new and 1 or 0, dead}
