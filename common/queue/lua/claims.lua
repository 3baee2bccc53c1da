-- CLAIMS: the records of claims, and how a claim is given back.

-- What a claim says about its key is printable ASCII: no worker could read what others left instead.
local function plain(text)
  return text and not string.find(text, '[^%w%p ]') and text or ''
end

local function unclaim(worker, id, token, q)
  later(unclaimed, C.own .. 'claims:' .. worker, id)
  later(ended, q.wip, id .. ':' .. token)
end

-- The record of a claim whose hash does not know it any more.
local function forget_claim(worker, id, token, q)
  if call('HGET', C.own .. 'claims:' .. worker, id) == token then unclaim(worker, id, token, q) end
end

-- Claims are given back from the last to the first, so that they stand in their old order.
local function last_first(a, b)
  return (whole(a[2]) or 0) > (whole(b[2]) or 0)
end

local function mark(worker, id)
  if id == '' then call('HDEL', K.running, worker) else call('HSET', K.running, worker, id) end
end

-- Back to the front of its lane, or of the more urgent one that a change asked for.
local function give_back(worker, id, token, h)
  local text = text_of(id)
  local q = home(text, h.origin) or place(pool_of(text), 0)
  local dirty = lane_of(h.dirty)
  unclaim(worker, id, token, q)
  call('HDEL', C.job .. id, 's_token', 's_dirty', 'worker_name', 'started_at')
  if dirty and dirty < q.lane then q = place(q.pool, dirty) end
  requeue_now(id, q, true)
end

-- rq's record of a loop, if there is one; a field of one that expired would stay for ever.
local function tell_rq(worker, state, succeeded, failed)
  local key = C.rq .. 'worker:' .. worker
  if call('EXISTS', key) == 0 then return end
  if state then call('HSET', key, 'state', state) end
  if succeeded > 0 then bump(key, 'successful_job_count', succeeded) end
  if failed > 0 then bump(key, 'failed_job_count', failed) end
end

-- rq forgets its dead workers in a maintenance that never runs here; each start has a name of its
-- own, so its list would grow for ever.
local function forget(worker)
  local key = C.rq .. 'worker:' .. worker
  call('UNLINK', key)
  call('SREM', C.rq .. 'workers', key)
  for _, q in ipairs(LANES) do call('SREM', C.rq .. 'workers:' .. q.name, key) end
end
