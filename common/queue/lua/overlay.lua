-- OVERLAY: publish what trivy-operator's ConfigMaps say.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:overlay), digest (of what counts), overlay (JSON), fence (the watcher's)}
-- Result   1; 0: the fence is too low
if not fenced(P.fence) then return 0 end
-- A value of another type is somebody else's, and nothing of ours is in it.
local probe = redis.pcall('HEXISTS', P.key, '')
if type(probe) == 'table' then call('DEL', P.key) end
call('HSET', P.key, 'digest', P.digest, 'overlay', P.overlay)
return 1
