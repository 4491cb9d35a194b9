-- The workers that live and take clients.
-- KEYS  nodes
-- ARGV  1 prefix of the keys of nodes
-- returns  {node, host, connections} of each
local found = {}
for _, node in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local says = redis.call('HMGET', ARGV[1] .. node, 'host', 'connections', 'takes')
  if says[3] == '1' then found[#found + 1] = {node, says[1] or '', says[2] or '0'} end
end
return found
