-- Empty one message, or what one person said, and tell it by an event, which is numbered.
-- KEYS  meta, history, rooms
-- ARGV  1 run, 2 keeps, 3 fresh epoch, 4 channel, 5 history size, 6 history bytes, 7 history ms,
--       8 name of the room, 9 how: n by name, s by sub, i by id, o by offset, 10 which, 11 the same
--       as JSON, 12 id of the event, 13 "1": only if there is something of theirs
-- returns  how many messages
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

local epoch, offset, bytes, lives, same = room_find(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
local how, which = ARGV[9], ARGV[10]
local entries = epoch and redis.call('LRANGE', KEYS[2], 0, -1) or {}
local count, found = 0, nil
for i, entry in ipairs(entries) do
  local e = parse(entry)
  local is = (how == 'n' and e.name == which) or (how == 's' and e.sub == which) or
             (how == 'i' and e.id == which) or (how == 'o' and e.offset == which)
  if is then
    found = e
    if e.kind == 'm' and e.ev ~= 'rmUserMsg' and e.ev ~= 'rmMsg' then
      local left = tombstone(e)
      redis.call('LSET', KEYS[2], i - 1, left)
      bytes = bytes - #entry + #left
      count = count + 1
    end
  end
end
local one = how == 'i' or how == 'o'
if count == 0 then
  if ARGV[13] == '1' then return 0 end
  if one and (found or (how == 'o' and tonumber(which) > offset)) then return 0 end
end
local now, blob = now_ms(), nil
if one then -- one that the history has no more may still be on somebody's screen
  local known = {}
  if found then known[1] = '"i":"' .. found.id .. '"' elseif how == 'i' then known[1] = '"i":' .. ARGV[11] end
  local target = found and found.offset or (how == 'o' and which) or '0'
  if target ~= '0' then known[#known + 1] = '"o":' .. target end
  blob = event('r', now, target, ARGV[12], 'rmMsg', '{' .. table.concat(known, ',') .. '}')
else
  blob = event(how, now, '0', ARGV[12], 'rmUserMsg', ARGV[11])
  blob = blob:gsub(' %-1\n', ' ' .. #which .. '\n', 1) .. which
end
append({meta = KEYS[1], history = KEYS[2], rooms = KEYS[3], name = ARGV[8], run = ARGV[1], keeps = ARGV[2],
  epoch = epoch or ARGV[3], offset = offset, bytes = bytes, lives = lives, same = same, channel = ARGV[4],
  size = tonumber(ARGV[5]), most = tonumber(ARGV[6]), ms = tonumber(ARGV[7])}, blob, now)
return count
