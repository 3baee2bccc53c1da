-- DROP: take a key out of the queue, unless a claim of it lives.
-- ARGV[2]  {key}
-- Result   1 dropped, 0 it was not there, -1 it is running
local id = job_id(P.key)
local h = call('HMGET', C.job .. id, 'status', 's_token', 'origin')
if not h[1] then return 0 end
if h[2] then return -1 end
local q = BY_NAME[h[3] or '']
if q then
  call('LREM', q.queue, 0, id)
  call('ZREM', q.scheduled, id)
  call('ZREM', q.failed, id)
  call('ZREM', probe_key(q.pool), id)
  call('ZREM', C.rq .. 'canceled:' .. q.name, id)
end
call('UNLINK', C.job .. id)
fact('released', P.key, '{"why":"dropped by an operator"}', 'dropped')
finish()
return 1
