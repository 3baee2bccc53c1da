-- EPOCH: publish a generation of settings, schema, Trivy and projection.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:epoch), digest, version (in the digest; for people), at_least, fence (the
--          watcher's)}
-- Result   the epoch's number; 0: the fence is too low
if not fenced(P.fence) then return 0 end
local h = call('HMGET', P.key, 'digest', 'number')
local number = whole(h[2]) or 0
if h[1] ~= P.digest then number = number + 1 end
if number < P.at_least then number = P.at_least end
call('HSET', P.key, 'digest', P.digest, 'version', P.version, 'number', string.format('%.0f', number))
return number
