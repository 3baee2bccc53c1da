-- REAP: give back what workers whose lease ended had claimed, and charge the crash to the culprit.
-- Then looks through a page of the registries (tidy.lua).
-- Needs    adding.lua, claims.lua, tidy.lua
-- ARGV[2]  {max_crashes, probe_after_s, dead (worker known to be dead, '': by lease only),
--            by (the worker that reaps, '': nobody), fresh_s (what must be left of its lease)}
-- Result   number of keys given back or parked; not all, when they are thousands
--
-- The culprit is the key that the worker had marked as running, or its only claim. Is there none, a
-- batch died without a mark: nobody is charged, and each of its keys runs alone the next time.

local function crash(worker, id, token, text, h)
  local job = C.job .. id
  local crashes = bump(job, 's_crashes', 1)
  call('HSET', job, 's_suspect', '1')
  if crashes < P.max_crashes or h.dirty then -- dirty wins over dead
    if h.dirty then call('HDEL', job, 's_crashes') end
    give_back(worker, id, token, h)
    return
  end
  local q = home(text, h.origin) or place(pool_of(text), 0)
  call('HDEL', job, 's_token', 's_dirty', 'worker_name', 'started_at')
  local message = string.format('%d workers died while they ran it; the last was %s', crashes, worker)
  unclaim(worker, id, token, q)
  call('HDEL', job, 's_crashes') -- the probe gets as many tries again
  if q.pool > 1 then
    local failure = { reason = 'Crashed', message = message, at = now, attempts = crashes }
    kept('HSET', C.own .. 'image:' .. record_of(text), 'fail', cjson.encode(failure))
  end
  park(id, text, q, 'Crashed', { reason = 'Crashed', message = message, probe_after_s = P.probe_after_s })
  fact('parked', text, string.format('{"reason":"Crashed","message":%s,"attempts":%d}', json(message), crashes),
    'Crashed')
  return true
end

local function reap(worker)
  local flat = call('HGETALL', C.own .. 'claims:' .. worker)
  local held = {}
  for i = 1, #flat, 2 do held[#held + 1] = { flat[i], flat[i + 1] } end
  table.sort(held, last_first)
  local culprit = call('HGET', K.running, worker)
  if not culprit and #held == 1 then culprit = held[1][1] end
  local n = 0
  for _, claim in ipairs(held) do
    local id, token = claim[1], claim[2]
    local h = fields(id, 's_token', 'origin', 's_dirty')
    if h[1] == token then
      n = n + 1
      local text = text_of(id)
      local state = { origin = h[2], dirty = h[3] }
      local dead = false
      if id == culprit then
        dead = crash(worker, id, token, text, state)
      else
        if not culprit then call('HSET', C.job .. id, 's_suspect', '1') end
        give_back(worker, id, token, state)
      end
      if pool_of(text) == 2 then wake_layer_waiters(text) end
      if not dead then
        fact('released', text, string.format('{"why":"lease ended","worker":%s,"charged":%s}',
          json(worker), tostring(id == culprit)), 'lease_ended')
      end
    end
  end
  unclaimed[C.own .. 'claims:' .. worker] = nil
  call('UNLINK', C.own .. 'claims:' .. worker)
  call('ZREM', K.leases, worker)
  call('HDEL', K.running, worker)
  forget(worker)
  return n
end

-- No lease is longer, as the setting says. One that ends later was taken while the clock was wrong:
-- the living renew it long before it ends, and nobody else would ever end a dead worker's.
local LONGEST_LEASE_S = 3600
for _, worker in ipairs(call('ZRANGEBYSCORE', K.leases, seconds(now + LONGEST_LEASE_S + 60), '+inf')) do
  call('ZADD', K.leases, seconds(now + LONGEST_LEASE_S), worker)
end

-- Hundreds of workers may die at once, and Redis answers nobody while a script runs: the next call, of
-- any worker, goes on.
local MOST_GIVEN_BACK = 1000
local total = 0
if P.dead ~= '' then total = reap(P.dead) end
local own = P.by ~= '' and call('ZSCORE', K.leases, P.by)
if own and tonumber(own) - now < P.fresh_s then
  finish()
  return total
end
for _, worker in ipairs(call('ZRANGEBYSCORE', K.leases, '-inf', seconds(now))) do
  if total >= MOST_GIVEN_BACK then break end
  count('leases.expired')
  total = total + reap(worker)
end
tidy()
finish()
return total
