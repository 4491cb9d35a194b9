-- How many readers a loop has in a room.
-- KEYS  room:readers: hash of node/loop to number; node:readers: set of loop:room, for when it dies;
--       nodes, node
-- ARGV  1 node/loop, 2 number, 3 loop:room, 4 node
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SREM', KEYS[2], ARGV[3])
else
  node_begins(KEYS[3], KEYS[4], ARGV[4])
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[2], ARGV[3])
end
return 0
