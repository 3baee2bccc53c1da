-- MEMBERS: is each key where its hash says it is? Changes nothing but remembered positions.
-- Needs    adding.lua
-- ARGV[2]  {keys}
-- Result   list of 1 (queued, running, delayed or parked with a probe; proven) or 0 (also: not found
--          in time, see `stands`)
local out = {}
for i, text in ipairs(P.keys) do out[i] = backed(text) and 1 or 0 end
return out
