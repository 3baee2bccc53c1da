-- SEEN: remember how far the leading watcher has read the cluster.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:seen), versions (stream -> version as text), whole, fence}
--            whole  true: these are all streams; others are forgotten
-- Result   1; 0: the fence is too low
if not fenced(P.fence) then return 0 end
-- A value of another type is somebody else's, and nothing of ours is in it.
local probe = redis.pcall('HEXISTS', P.key, '')
if P.whole or type(probe) == 'table' then call('DEL', P.key) end
for stream, version in pairs(P.versions) do
  call('HSET', P.key, stream, version)
end
return 1
