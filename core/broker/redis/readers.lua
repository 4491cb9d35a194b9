-- How many readers a loop has in a room.
-- KEYS  room:readers: hash of node/loop to number; node:readers: set of loop:room, for when it dies
-- ARGV  1 node/loop, 2 number, 3 loop:room
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SREM', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[2], ARGV[3])
end
return 0
