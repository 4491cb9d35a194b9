-- In front of every script, and so run by each: it is short. Numbers that Redis gets are texts, since
-- Lua's own way of making them such costs as much as a small command. What a room is in Redis (its name is the last part of each key, and what
-- stands before it has one colon behind "room:", so that no two names give one key):
--   room:meta     hash: e epoch, o last offset, r run id of the server that wrote it, k whether that
--                 one kept all, b bytes, l until when the history lives, s until when what was
--                 said is known by its client ids
--   room:history  list of entries, the newest first, offsets without a gap
-- An entry, in the list and on the room's channel, is epoch:offset:blob; redis_entry.h says what a
-- blob is. Offset 0: an event that is not stored.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(number)
  return string.format('%.0f', number)
end

-- The longest ban in force among those fields of the hash: seconds (-1: for ever), and why.
local function banned(key, fields, first)
  if #fields < first then return nil end
  local now, ends, why = now_ms(), nil, nil
  for _, value in ipairs(redis.call('HMGET', key, unpack(fields, first))) do
    if value then
      local expires, reason = value:match('^(%-?%d+) %d+ (.*)$')
      expires = tonumber(expires)
      if (expires == -1 or expires > now) and
         (not ends or expires == -1 or (ends ~= -1 and expires > ends)) then
        ends, why = expires, reason
      end
    end
  end
  if not ends then return nil end
  return ends == -1 and -1 or math.ceil((ends - now) / 1000), why
end

-- Epoch (false: there is no such room), offset, bytes, until when the history lives, whether epoch,
-- run and keeps are written there as they are, and until when client ids are known. A server that was started again, or is
-- another one, may have lost what it had told: unless it keeps all, and did so before, the room
-- begins a new epoch.
local function room_find(meta, run, keeps, fresh)
  local m = redis.call('HMGET', meta, 'e', 'o', 'r', 'k', 'b', 'l', 's')
  if m[1] and m[3] ~= run and (keeps ~= '1' or m[4] ~= '1') then
    m[1] = fresh
    redis.call('HSET', meta, 'e', fresh, 'r', run, 'k', keeps)
  end
  return m[1], tonumber(m[2] or 0), tonumber(m[5] or 0), tonumber(m[6] or 0),
    m[1] and m[3] == run and m[4] == keeps, tonumber(m[7] or 0)
end

-- One in which nothing was said yet.
local function room_make(meta, run, keeps, fresh, ms)
  redis.call('HSET', meta, 'e', fresh, 'o', 0, 'r', run, 'k', keeps, 'b', 0)
  redis.call('PEXPIRE', meta, ms)
  return fresh
end

-- It has a history now. That others have lost theirs, by time, nobody is told: whenever a room
-- comes, some are looked at, and more if it would not fit; so those that are gone are never many.
-- returns  false: it does not fit
local function room_enter(at)
  local prefix = at.history:sub(1, #at.history - #at.name)
  local function fits() return not at.limit or redis.call('SCARD', at.rooms) < at.limit end
  if redis.call('SISMEMBER', at.rooms, at.name) == 1 then return true end
  for _, name in ipairs(redis.call('SRANDMEMBER', at.rooms, fits() and 3 or 100)) do
    if redis.call('EXISTS', prefix .. name) == 0 then redis.call('SREM', at.rooms, name) end
  end
  if not fits() then return false end
  redis.call('SADD', at.rooms, at.name)
  return true
end

-- Number it, store it, announce it. at: {meta, history, rooms, name, limit of rooms or nil, run, keeps,
-- epoch, offset, bytes, lives, same, channel, history size, most bytes of it, ms of it}.
-- Keys live a little longer than they must, so that not each message has to prolong their lives.
-- returns  the offset, as text; nil: beyond the limit
local function append(at, blob, now)
  local offset = int(at.offset + 1)
  local entry = at.epoch .. ':' .. offset .. ':' .. blob
  local count = redis.call('LPUSH', at.history, entry)
  local bytes = (count == 1 and 0 or at.bytes) + #entry
  if count == 1 and not room_enter(at) then
    redis.call('DEL', at.history)
    return nil
  end
  while count > at.size or (at.most > 0 and bytes > at.most and count > 1) do
    bytes = bytes - #redis.call('RPOP', at.history)
    count = count - 1
  end
  local ms = at.ms + math.floor(at.ms / 16)
  if at.same and count > 1 and at.lives >= now + at.ms and at.lives <= now + ms then
    redis.call('HSET', at.meta, 'o', offset, 'b', int(bytes))
  else
    redis.call('HSET', at.meta, 'o', offset, 'b', int(bytes), 'e', at.epoch, 'r', at.run, 'k', at.keeps,
               'l', int(now + ms))
    redis.call('PEXPIRE', at.history, int(ms))
    redis.call('PEXPIRE', at.meta, int(ms * 2 + 86400000))
  end
  redis.call('PUBLISH', at.channel, entry)
  return offset
end

-- A process that has not said yet that it lives brings somebody: from now on it is looked after.
local function node_begins(nodes, node_key, node)
  if redis.call('SADD', nodes, node) == 1 and redis.call('EXISTS', node_key) == 0 then
    redis.call('HSET', node_key, 'takes', '0')
    redis.call('PEXPIRE', node_key, 10000)
  end
end
