-- DROP: take a key out of the queue, unless a claim of it lives.
-- ARGV[2]  {key}
-- Result   1 dropped, 0 it was not there, -1 it is running
local id = job_id(P.key)
local h = fields(id, 'status', 's_token', 'origin', 'worker_name')
if not h[1] then return 0 end
if h[2] and claimed(id, h[4] or '', h[2]) then return -1 end
local q = home(P.key, h[3])
if q then
  call('LREM', q.queue, 0, id)
  call('ZREM', q.scheduled, id)
  call('ZREM', q.failed, id)
  call('ZREM', probe_key(q.pool), id)
  call('ZREM', C.rq .. 'canceled:' .. q.name, id)
end
call('UNLINK', C.job .. id, C.rq .. 'results:' .. id)
fact('released', P.key, '{"why":"dropped by an operator"}', 'dropped')
finish()
return 1
