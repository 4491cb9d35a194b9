-- Who is in a room:
--   room:order    zset of members by when they came        room:users  hash of sub to how many
--   room:members  hash of member to "node sub name sub-text name-text user", the first two numbers
--                 being lengths                            room:crowd  hash: c crowded, p and u the
--                                                          numbers that were told, t when
--   node:members:N  set of member and room: what a process brought, for when it dies
-- While a room has few members, each that comes or goes is told; in a crowded one their number is,
-- at most once a gap. It stops being crowded well below where it began, or it would flap.
-- KEYS  members, order, users, crowd, bans, node:members, nodes, node
-- ARGV  1 join, leave, reap (leave, if its node is still dead) or tell, 2 channel, 3 id of the
--       event, 4 few, 5 gap in ms, 6 member, 7 name of the room, 8 node, 9 user, 10 sub, 11 name,
--       12… fields of bans to look at
-- returns  {"banned", seconds, why}, or {"ok", ms after which the number is to be told}
local now, few, gap = now_ms(), tonumber(ARGV[4]), tonumber(ARGV[5])

local function tell(kind, user, sub, name, data)
  local parts = {user or false, sub or false, name or false, false, kind, data or false, false}
  local blob, rest = 'm ' .. int(now) .. ' 0 ' .. #ARGV[3], ARGV[3]
  for _, part in ipairs(parts) do
    blob = blob .. ' ' .. (part and #part or -1)
    rest = rest .. (part or '')
  end
  redis.call('PUBLISH', ARGV[2], ':0:' .. blob .. '\n' .. rest)
end

local function number()
  local publishers = redis.call('ZCARD', KEYS[2])
  local alone = redis.call('HGET', KEYS[3], '')
  local users = redis.call('HLEN', KEYS[3]) + (alone and alone - 1 or 0)
  local told = redis.call('HMGET', KEYS[4], 'p', 'u', 't')
  if told[1] == int(publishers) and told[2] == int(users) then return 0 end
  local wait = tonumber(told[3] or 0) + gap - now
  if wait > 0 then return math.min(wait, gap) end
  tell('presence', nil, nil, nil, '{"pubCount":' .. publishers .. ',"users":' .. users .. '}')
  redis.call('HSET', KEYS[4], 'p', publishers, 'u', users, 't', int(now))
  redis.call('PEXPIRE', KEYS[4], 3600000)
  return 0
end

-- What to tell of a change to so many members: "", "who" or "number".
local function telling(members)
  if few == 0 then return '' end
  local was = redis.call('HGET', KEYS[4], 'c') == '1'
  local is = was
  if members > few then is = true elseif members <= few - math.floor(few / 4) then is = false end
  if was ~= is then
    redis.call('HSET', KEYS[4], 'c', is and '1' or '0')
    redis.call('PEXPIRE', KEYS[4], 3600000)
  end
  if was or is then return 'number' end
  redis.call('HDEL', KEYS[4], 'p', 'u') -- who adds up has another number now
  return 'who'
end

-- First what is taken away: a Redis that is full refuses what begins with something new.
local function leave(member)
  redis.call('SREM', KEYS[6], member .. ARGV[7])
  local value = redis.call('HGET', KEYS[1], member)
  if not value then return 0 end
  redis.call('HDEL', KEYS[1], member)
  redis.call('ZREM', KEYS[2], member)
  local sub_length, name_length, at = value:match('^%S+ (%d+) (%d+) ()')
  local sub = value:sub(at, at + sub_length - 1)
  local name = value:sub(at + sub_length, at + sub_length + name_length - 1)
  local what = telling(redis.call('ZCARD', KEYS[2]))
  if what == 'who' then tell('leave', value:sub(at + sub_length + name_length), sub, name) end
  if redis.call('HINCRBY', KEYS[3], sub, -1) <= 0 then redis.call('HDEL', KEYS[3], sub) end
  return what == 'number' and number() or 0
end

if ARGV[1] == 'tell' then return {'ok', number()} end
if ARGV[1] == 'reap' and redis.call('EXISTS', KEYS[8]) == 1 then return {'ok', 0} end
if ARGV[1] == 'leave' or ARGV[1] == 'reap' then return {'ok', leave(ARGV[6])} end
local ttl, why = banned(KEYS[5], ARGV, 12)
if ttl then return {'banned', int(ttl), why} end
local t = redis.call('TIME')
node_begins(KEYS[7], KEYS[8], ARGV[8])
redis.call('SADD', KEYS[6], ARGV[6] .. ARGV[7])
local value = ARGV[8] .. ' ' .. #ARGV[10] .. ' ' .. #ARGV[11] .. ' ' .. ARGV[10] .. ARGV[11] .. ARGV[9]
if redis.call('HSET', KEYS[1], ARGV[6], value) == 0 then return {'ok', 0} end
redis.call('ZADD', KEYS[2], int(t[1] * 1000000 + t[2]), ARGV[6])
redis.call('HINCRBY', KEYS[3], ARGV[10], 1)
local what = telling(redis.call('ZCARD', KEYS[2]))
if what == 'who' then tell('join', ARGV[9], ARGV[10], ARGV[11]) end
return {'ok', what == 'number' and number() or 0}
