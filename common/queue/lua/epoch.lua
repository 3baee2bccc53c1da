-- EPOCH: publish a generation of settings, schema, Trivy and projection.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:epoch), digest, version (in the digest; for people), at_least, fence (the
--          watcher's)}
-- Result   the epoch's number; 0: the fence is too low
if not fenced(P.fence) then return 0 end
-- Garbage, or more than bounded.EPOCH_LIMIT, counts as absent: by somebody's hand.
local function epoch_of(text)
  local n = whole(text)
  return n and n >= 0 and n <= 2 ^ 41 and n or 0
end
local h = call('HMGET', P.key, 'digest', 'number')
local number = epoch_of(h[2])
if h[1] ~= P.digest then number = epoch_of(number + 1) end
if number < P.at_least then number = P.at_least end
if number < 1 then number = 1 end -- 0 would say that the fence is too low
call('HSET', P.key, 'digest', P.digest, 'version', P.version, 'number', string.format('%.0f', number))
return number
