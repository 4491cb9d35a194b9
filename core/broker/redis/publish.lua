-- One message: the repetition of one that was answered already, refused, or numbered, stored and
-- announced.
-- KEYS  meta, history, said, said-order, bans, rooms
-- ARGV  1 run, 2 keeps, 3 fresh epoch, 4 blob, 5 channel, 6 history size, 7 history bytes,
--       8 history ms, 9 limit of rooms, 10 name, 11 message id, 12 client id or "",
--       13 how long it is remembered, 14 how many of them, 15… fields of bans to look at
-- said: hash of client id to "time epoch offset id"; said-order: list of them, the newest first
local now = now_ms()
local client, keep_ms, most = ARGV[12], tonumber(ARGV[13]), tonumber(ARGV[14])
if client ~= '' then
  local answer = redis.call('HGET', KEYS[3], client)
  if answer then
    local time, epoch, offset, id = answer:match('^(%d+) (%S+) (%d+) (%S+)$')
    if tonumber(time) + keep_ms > now then return {'ok', epoch, offset, id} end
  end
end
local ttl, why = banned(KEYS[5], ARGV, 15)
if ttl then return {'banned', int(ttl), why} end

local epoch, offset, bytes, lives, same, known = room_find(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
epoch = epoch or ARGV[3]
offset = append({meta = KEYS[1], history = KEYS[2], rooms = KEYS[6], name = ARGV[10], limit = tonumber(ARGV[9]),
  run = ARGV[1], keeps = ARGV[2], epoch = epoch, offset = offset, bytes = bytes, lives = lives, same = same,
  channel = ARGV[5], size = tonumber(ARGV[6]), most = tonumber(ARGV[7]), ms = tonumber(ARGV[8])}, ARGV[4], now)
if not offset then return {'full'} end

if client ~= '' and most > 0 and keep_ms > 0 then
  local new = redis.call('HSET', KEYS[3], client, int(now) .. ' ' .. epoch .. ' ' .. offset .. ' ' .. ARGV[11])
  local count = new == 1 and redis.call('LPUSH', KEYS[4], client) or redis.call('LLEN', KEYS[4])
  -- Sometimes those that are too old go, and more of them than have come, so that they come to an end.
  for _ = 1, (count > most or count % 8 == 0) and 24 or 0 do
    local oldest = redis.call('LINDEX', KEYS[4], '-1')
    local answer = oldest and redis.call('HGET', KEYS[3], oldest)
    if not oldest or (count <= most and answer and tonumber(answer:match('^%d+')) + keep_ms > now) then
      break
    end
    redis.call('RPOP', KEYS[4])
    redis.call('HDEL', KEYS[3], oldest)
    count = count - 1
  end
  if known < now + keep_ms or known > now + 2 * keep_ms or count == 1 then
    local ms = int(2 * keep_ms)
    redis.call('HSET', KEYS[1], 's', int(now + 2 * keep_ms))
    redis.call('PEXPIRE', KEYS[3], ms)
    redis.call('PEXPIRE', KEYS[4], ms)
  end
end
return {'ok', epoch, offset, ARGV[11]}
