-- BEAT: renew the lease of a worker and rq's registration of it; go on with what is to be woken.
-- Needs    adding.lua
-- ARGV[2]  {worker, lease_s, worker_key (rq:worker:<name>, a per-id key), worker_ttl_s}
-- Result   {1 when the lease was still recorded else 0, 1 when rq's registration exists else 0}
local had = call('ZSCORE', K.leases, P.worker)
call('ZADD', K.leases, seconds(now + P.lease_s), P.worker)
call('EXPIRE', C.own .. 'claims:' .. P.worker, C.claims_ttl_s)
local known = call('EXISTS', P.worker_key)
if known == 1 then
  call('HSET', P.worker_key, 'last_heartbeat', iso())
  call('EXPIRE', P.worker_key, P.worker_ttl_s)
end
wake_more()
finish()
return { had and 1 or 0, known }
