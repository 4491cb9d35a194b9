-- What plugins keep: a batch as chatup/store.h has it; core/broker/keyed.c gives the same results.
-- A key is named kept (or volatile) : space : length of group : group : key, where no space has a
-- colon and the last may hold anything, so no two give one name. It is of Redis' type
--   string  a text             hash  a number, in its field n: 64 bits, so a string to Lua
--   set     a set              zset  a window: time:n, scored by its time in ms, n counting those
--                                    of the same ms
-- KEYS  one for each op
-- ARGV  1 channel that changes of the group are told on, then for each op: kind, flags, its key as
--       the plugin names it, value, number, ttl in ms, period in ms
-- returns  happened (1, 0), and for each op {ok, number, ttl, value or false, members or false}
local GET, SET, SET_NEW, ABSENT, DELETE, ADD, SET_ADD, SET_REMOVE, MEMBERS, WINDOW, LOOK =
  '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'look'
local MUST = '1'
local TYPES = {[GET] = 'string', [ADD] = 'hash', [SET_ADD] = 'set', [SET_REMOVE] = 'set',
  [MEMBERS] = 'set', [WINDOW] = 'zset'}
local now = now_ms()

local function op_of(i)
  local at = 2 + (i - 1) * 7
  return {key = KEYS[i], kind = ARGV[at], must = ARGV[at + 1] == MUST, name = ARGV[at + 2],
    value = ARGV[at + 3], number = ARGV[at + 4], ttl = ARGV[at + 5], period = tonumber(ARGV[at + 6])}
end

local left = {} -- key to the ms that it lives on: Redis' own clock may go on during a batch

-- Its type in Redis, or none; what ttl_left is asked behind. In its last millisecond a key is gone:
-- with no ms left it would be taken for one that lives for ever.
local function kind_of(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' or left[key] then return kind end
  local ms = redis.call('PTTL', key)
  if ms == 0 then
    redis.call('DEL', key)
    return 'none'
  end
  if ms > 0 then left[key] = ms end
  return kind
end

local function ttl_left(key)
  return redis.call('PTTL', key) < 0 and 0 or left[key]
end

local function live_for(key, ttl) -- "0" is for ever, and so is what no clock will see
  if ttl == '0' or #ttl > 15 then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, ttl)
    left[key] = tonumber(ttl)
  end
end

-- Whether number can be added; nothing is changed. Where it is close, only Redis counts exactly.
local function can_add(op)
  local was = redis.call('HGET', op.key, 'n')
  if not was or math.abs(tonumber(was)) + math.abs(tonumber(op.number)) < 2 ^ 62 then return true end
  local sum = redis.pcall('HINCRBY', op.key, 'n', op.number)
  if type(sum) == 'table' and sum.err then
    if sum.err:find('overflow', 1, true) then return false end
    redis.call('HINCRBY', op.key, 'n', op.number) -- it is no want of room in the number: fail
  end
  redis.call('HSET', op.key, 'n', was)
  return true
end

-- How many times of a window still count, and how long until one more is free.
local function window(op)
  local inside, most = redis.call('ZCOUNT', op.key, int(now - op.period + 1), '+inf'), tonumber(op.number)
  if inside < most then return inside, 0 end
  local time = redis.call('ZRANGE', op.key, -most, -most, 'WITHSCORES')[2]
  return inside, tonumber(time) + op.period - now
end

-- As things stand: 1, 0, or -1 for a key of another type or a number too big.
local function would(op)
  local kind = kind_of(op.key)
  local there = kind ~= 'none'
  if there and TYPES[op.kind] and TYPES[op.kind] ~= kind then return -1 end
  if op.kind == GET or op.kind == DELETE then return there and 1 or 0 end
  if op.kind == SET_NEW or op.kind == ABSENT then return there and 0 or 1 end
  if op.kind == ADD then return can_add(op) and 1 or -1 end
  if op.kind == SET_ADD then return redis.call('SISMEMBER', op.key, op.value) == 0 and 1 or 0 end
  if op.kind == SET_REMOVE then return redis.call('SISMEMBER', op.key, op.value) end
  if op.kind == WINDOW then return window(op) < tonumber(op.number) and 1 or 0 end
  return 1
end

local function changed(op)
  redis.call('PUBLISH', ARGV[1], op.name)
end

local function set(op)
  redis.call('SET', op.key, op.value)
  live_for(op.key, op.ttl)
  changed(op)
end

local act = {
  [GET] = function(op, r)
    r[3] = ttl_left(op.key)
    if r[1] == 1 then r[4] = redis.call('GET', op.key) end
  end,
  [SET] = function(op) set(op) end,
  [SET_NEW] = function(op, r)
    r[3] = ttl_left(op.key)
    if r[1] == 1 then set(op) end
  end,
  [ABSENT] = function(op, r) r[3] = ttl_left(op.key) end,
  [DELETE] = function(op, r)
    if r[1] == 1 then
      redis.call('DEL', op.key)
      changed(op)
    end
  end,
  [ADD] = function(op, r)
    redis.call('HINCRBY', op.key, 'n', op.number)
    if op.ttl ~= '0' then live_for(op.key, op.ttl) end
    r[2] = redis.call('HGET', op.key, 'n')
    r[3] = ttl_left(op.key)
    changed(op)
  end,
  [SET_ADD] = function(op, r)
    redis.call('SADD', op.key, op.value)
    if op.ttl ~= '0' then live_for(op.key, op.ttl) end
    if r[1] == 1 or op.ttl ~= '0' then changed(op) end
  end,
  [SET_REMOVE] = function(op, r)
    if r[1] == 1 then
      redis.call('SREM', op.key, op.value)
      changed(op)
    end
  end,
  [MEMBERS] = function(op, r)
    r[5] = redis.call('SMEMBERS', op.key)
    r[2] = int(#r[5])
  end,
  [WINDOW] = function(op, r)
    local inside, free = window(op)
    if r[1] == 1 then
      local time = int(now)
      redis.call('ZADD', op.key, time, time .. ':' .. redis.call('ZCOUNT', op.key, time, time))
      redis.call('ZREMRANGEBYSCORE', op.key, '-inf', int(now - op.period))
      if ttl_left(op.key) < op.period then live_for(op.key, int(op.period)) end
      inside, free = window(op)
      changed(op)
    end
    r[2], r[3] = int(inside), free
  end,
  [LOOK] = function(op, r) -- for who watches: whatever it is
    local kind = kind_of(op.key)
    r[1] = kind ~= 'none' and 1 or 0
    r[3] = ttl_left(op.key)
    if kind == 'string' then r[4] = redis.call('GET', op.key) end
    if kind == 'hash' then r[2] = redis.call('HGET', op.key, 'n') end
    if kind == 'set' then
      r[5] = redis.call('SMEMBERS', op.key)
      r[2] = int(#r[5])
    end
  end,
}

local happens = 1
for i = 1, #KEYS do
  local op = op_of(i)
  if op.must and would(op) ~= 1 then happens = 0 end
end
local results = {}
for i = 1, #KEYS do
  local op = op_of(i)
  local r = {would(op), '0', 0, false, false}
  if happens == 1 and r[1] >= 0 then
    act[op.kind](op, r)
  elseif happens == 0 and op.kind == WINDOW and r[1] >= 0 then
    local inside, free = window(op)
    r[2], r[3] = int(inside), free
  elseif happens == 0 then
    r[3] = ttl_left(op.key)
  end
  results[i] = r
end
return {happens, results}
