-- All bans, as the first server has them. One that is not among them has ended, unless it has come
-- since they were read.
-- KEYS  bans; bans:copy:N: the same, of the first server
-- ARGV  1 how many they are
local RECENT_MS = 60000
local copy = redis.call('HGETALL', KEYS[2])
redis.call('DEL', KEYS[2])
if #copy ~= 2 * tonumber(ARGV[1]) then return 0 end -- there was no room for it
local listed = {}
for i = 1, #copy, 2 do listed[copy[i]] = true end
local there = redis.call('HGETALL', KEYS[1])
for i = 1, #there, 2 do
  local created = tonumber(there[i + 1]:match('^%-?%d+ (%d+)') or 0)
  if not listed[there[i]] and created < now_ms() - RECENT_MS then
    redis.call('HDEL', KEYS[1], there[i])
  end
end
for i = 1, #copy, 2 do redis.call('HSET', KEYS[1], copy[i], copy[i + 1]) end
return 1
