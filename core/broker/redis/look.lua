-- What a room looks like. Who asks for the history is told a position to go on from, so a room that
-- never was begins then, for a while.
-- KEYS  meta, history, readers, order, members, users
-- ARGV  1 run, 2 keeps, 3 fresh epoch, 4 whether the history is wanted, 5 skip, 6 limit of clients
-- returns  epoch ("" of a room that is not there), offset, readers, publishers, users, clients, entries
local epoch, offset = room_find(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if not epoch and ARGV[4] == '1' then
  epoch = room_make(KEYS[1], ARGV[1], ARGV[2], ARGV[3], 600000)
end
local readers, clients, entries = 0, {}, {}
for _, count in ipairs(redis.call('HVALS', KEYS[3])) do readers = readers + count end
local alone = redis.call('HGET', KEYS[6], '')
local users = redis.call('HLEN', KEYS[6]) + (alone and alone - 1 or 0)
local skip, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
if limit > 0 then
  local members = redis.call('ZRANGE', KEYS[4], int(skip), int(skip + limit - 1))
  for first = 1, #members, 1000 do
    local part = redis.call('HMGET', KEYS[5], unpack(members, first, math.min(first + 999, #members)))
    for _, member in ipairs(part) do
      if member then
        local worker, sub, name, user = member:match('^(%S+) (%d+) (%d+) ()')
        clients[#clients + 1] = member:sub(user + sub + name)
      end
    end
  end
end
if ARGV[4] == '1' and epoch then entries = redis.call('LRANGE', KEYS[2], 0, -1) end
return {epoch or '', int(offset), readers, redis.call('ZCARD', KEYS[4]), users, clients, entries}
