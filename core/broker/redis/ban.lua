-- A ban, or the end of one: kept, and told to every process.
-- KEYS  bans: hash of field (who and where) to "expires created reason"
-- ARGV  1 field, 2 value or "" to end it, 3 limit, 4 channel, 5 what is told, or ""
-- returns  -1: there are too many; else how many were in force for that field
local now = now_ms()
local function in_force(value)
  local expires = value and tonumber(value:match('^%-?%d+'))
  return expires and (expires == -1 or expires > now)
end
local was = in_force(redis.call('HGET', KEYS[1], ARGV[1])) and 1 or 0
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  local limit = tonumber(ARGV[3])
  if was == 0 and redis.call('HLEN', KEYS[1]) >= limit then
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
      if not in_force(all[i + 1]) then redis.call('HDEL', KEYS[1], all[i]) end
    end
    if redis.call('HLEN', KEYS[1]) >= limit then return -1 end
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return was
