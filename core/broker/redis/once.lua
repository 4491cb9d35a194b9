-- Whether a key is the first of its kind.
-- KEYS  once: zset of keys by when they expire; once:by: hash of key to whose it is
-- ARGV  1 take or forget, 2 key, 3 token, or "" to forget it whoever's it is, 4 expires (Unix ms),
--       5 limit
-- returns  1: it was the first; 0: it was not; -1: too many are known
if ARGV[1] == 'forget' then
  if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return 0 end
  redis.call('HDEL', KEYS[2], ARGV[2])
  return redis.call('ZREM', KEYS[1], ARGV[2])
end
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now_ms()), 'LIMIT', 0, 1000)
for _, key in ipairs(old) do
  redis.call('ZREM', KEYS[1], key)
  redis.call('HDEL', KEYS[2], key)
end
if redis.call('ZSCORE', KEYS[1], ARGV[2]) then
  return redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] and 1 or 0
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then return -1 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
