-- CLAIM: go on with what is to be woken, promote what is due, then take up to `limit` keys of a pool.
-- Needs    adding.lua, claims.lua, claiming.lua
-- ARGV[2]  {worker, take}
--            take  {pool (1, 2), limit, lease_s, bulk_every, generation}
-- Result   as `take` returns it (claiming.lua)
wake_more()
local found = take(P.worker, P.take)
finish()
return found
