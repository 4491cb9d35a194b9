-- In front of every script. What a room is in Redis (its name is the last part of each key, and what
-- stands before it has one colon behind "room:", so that no two names give one key):
--   room:meta     hash: e epoch, o last offset, r run id of the server that wrote it, k whether that
--                 one kept all, b bytes, l until when the history lives
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

-- Epoch (false: there is no such room), offset, bytes, until when the history lives, and whether
-- epoch, run and keeps are written there as they are. A server that was started again, or is
-- another one, may have lost what it had told: unless it keeps all, and did so before, the room
-- begins a new epoch.
local function room_find(meta, run, keeps, fresh)
  local m = redis.call('HMGET', meta, 'e', 'o', 'r', 'k', 'b', 'l')
  if m[1] and m[3] ~= run and (keeps ~= '1' or m[4] ~= '1') then
    m[1] = fresh
    redis.call('HSET', meta, 'e', fresh, 'r', run, 'k', keeps)
  end
  return m[1], tonumber(m[2] or 0), tonumber(m[5] or 0), tonumber(m[6] or 0),
    m[1] and m[3] == run and m[4] == keeps
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

-- Number it, store it, announce it. at: {meta, history, rooms, name, limit of rooms or nil}; is:
-- {run, keeps, epoch, offset, bytes, lives, same, channel, history size, history bytes, history ms}.
-- Keys live a little longer than they must, so that not each message has to prolong their lives.
-- returns  the offset; nil: beyond the limit
local function append(at, is, blob, now)
  local offset = is.offset + 1
  local entry = is.epoch .. ':' .. int(offset) .. ':' .. blob
  local count = redis.call('LPUSH', at.history, entry)
  local bytes = (count == 1 and 0 or is.bytes) + #entry
  if count == 1 and not room_enter(at) then
    redis.call('DEL', at.history)
    return nil
  end
  while count > is.size or (is.most > 0 and bytes > is.most and count > 1) do
    bytes = bytes - #redis.call('RPOP', at.history)
    count = count - 1
  end
  local fields = {'o', int(offset), 'b', int(bytes)}
  if not is.same then
    for _, field in ipairs({'e', is.epoch, 'r', is.run, 'k', is.keeps}) do fields[#fields + 1] = field end
  end
  local ms = is.ms + math.floor(is.ms / 16)
  if count <= 1 or is.lives < now + is.ms or is.lives > now + ms then
    fields[#fields + 1] = 'l'
    fields[#fields + 1] = int(now + ms)
    redis.call('PEXPIRE', at.history, ms)
    redis.call('HSET', at.meta, unpack(fields))
    redis.call('PEXPIRE', at.meta, ms * 2 + 86400000)
  else
    redis.call('HSET', at.meta, unpack(fields))
  end
  redis.call('PUBLISH', is.channel, entry)
  return offset
end

local FIELDS = {'id', 'user', 'sub', 'name', 'msg', 'ev', 'data', 'who'}

-- An entry as a table: epoch, offset, kind, time, target and the fields that it has.
local function parse(entry)
  local e = {}
  local lengths = {}
  local at
  e.epoch, e.offset, e.kind, e.time, e.target, lengths[1], lengths[2], lengths[3], lengths[4],
    lengths[5], lengths[6], lengths[7], lengths[8], at = entry:match(
      '^([^:]*):(%d+):(%a) (%d+) (%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+)\n()')
  for i, field in ipairs(FIELDS) do
    local length = tonumber(lengths[i])
    if length >= 0 then
      e[field] = entry:sub(at, at + length - 1)
      at = at + length
    end
  end
  return e
end

-- What is left of a removed message.
local function tombstone(e)
  return e.epoch .. ':' .. e.offset .. ':t ' .. e.time .. ' 0 ' .. #e.id .. ' -1 -1 -1 -1 -1 -1 -1\n' .. e.id
end

-- An event of nobody, with data.
local function event(kind, time, target, id, ev, data)
  return kind .. ' ' .. int(time) .. ' ' .. target .. ' ' .. #id .. ' -1 -1 -1 -1 ' .. #ev .. ' ' .. #data ..
    ' -1\n' .. id .. ev .. data
end

-- A process that has not said yet that it lives brings somebody: from now on it is looked after.
local function node_begins(nodes, node_key, node)
  if redis.call('SADD', nodes, node) == 1 and redis.call('EXISTS', node_key) == 0 then
    redis.call('HSET', node_key, 'takes', '0')
    redis.call('PEXPIRE', node_key, 10000)
  end
end
