-- CLAIMING: promote what is due, then take up to `limit` keys of a pool.

-- Delayed keys that are due, by any worker; parked ones whose probe is due, in the bulk lane.
local function promote(pool)
  for lane = 0, 1 do
    local q = place(pool, lane)
    for _, id in ipairs(call('ZRANGEBYSCORE', q.scheduled, '-inf', seconds(now), 'LIMIT', 0, 256)) do
      call('ZREM', q.scheduled, id)
      if fields(id, 'status')[1] == 'scheduled' then requeue_now(id, q) end
    end
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', probe_key(pool), '-inf', seconds(now), 'LIMIT', 0, 256)) do
    call('ZREM', probe_key(pool), id)
    local h = fields(id, 'status', 'origin')
    local q = home(text_of(id), h[2])
    if h[1] == 'failed' and q then
      call('ZREM', q.failed, id)
      requeue_now(id, place(pool, 1)) -- attempts stay: the policy parks it again at once if it still fails
      note(text_of(id), 1, 'probed', 'slow probe')
    end
  end
end

-- A sweep of 50,000 keys that all change leaves as many entries behind in the bulk lane. Redis answers
-- nobody while a script runs, so a claim passes over this many a lane, and the next one goes on.
local MOST_PASSED = 1000

-- Returns a msgpack list of {id, token, tallies ('<budget> <failures> <seconds waited>;…'), faults
-- (sources, by spaces), seconds since the first failure ('0': none), crashes, lane}; '': nothing, or
-- paused. `r` is {pool (1, 2), limit, lease_s, bulk_every, generation ('': any)}.
local function take(worker, r)
  if call('EXISTS', K.suspended, K.paused) > 0 then
    call('DEL', wake_key(r.pool)) -- nobody spins on wake-ups while the queue stands still
    return ''
  end
  call('ZADD', K.leases, seconds(now + r.lease_s), worker)
  -- Of another generation than the published one: its reports would be of other settings, and its ends
  -- would answer for nothing. It learns that by itself, a moment later than Redis does.
  local published = r.generation ~= '' and redis.pcall('HGET', C.own .. 'epoch', 'digest')
  if type(published) == 'string' and published ~= r.generation then return '' end
  promote(r.pool)

  -- Every `bulk_every`-th claim looks into the bulk lane first. Entries are read ahead, and
  -- those that were used leave their list in one LPOP.
  flush_tails()
  local ahead, passed = {}, { [0] = 0, [1] = 0 }
  local function named(id)
    return ours(id) and not string.find(id, '[^%w_-]') and text_of(id)
  end

  local function next_live(q)
    while passed[q.lane] < MOST_PASSED do
      local a = ahead[q.lane]
      if not a or a.used == #a and #a == r.limit then
        if a then call('LPOP', q.queue, a.used) end
        a = call('LRANGE', q.queue, 0, r.limit - 1)
        a.used, a.q = 0, q
        ahead[q.lane] = a
      end
      local id = a[a.used + 1]
      if not id then return nil end
      a.used = a.used + 1
      heads[q.name] = head(q) + 1
      moved[q.name] = true
      local h = fields(id, 'status', 'origin', 's_token', 's_attempts', 's_tallies', 's_crashes',
        's_suspect', 's_dirty', 's_faults', 's_since', 's_held')
      local text = h[1] == 'queued' and h[2] == q.name and named(id)
      if text and pool_of(text) == r.pool then
        if not h[3] then return id, h, text end
        -- rq itself put a key into its list while a claim of it lives: remember, run it once more.
        call('HSET', C.job .. id, 'status', 'started', 's_dirty', math.min(q.lane, lane_of(h[8]) or 1))
        count('repairs.claim')
      end -- else: left behind by a promotion, a cancel or a drop; or a job of somebody else
      passed[q.lane] = passed[q.lane] + 1
    end
    woken[r.pool] = true
  end

  local function age(since)
    return string.find(since, '^%d+%.%d+$') and seconds(math.max(0, now - since)) or '0'
  end

  local token = tonumber(clock[1]) * 1e6 + tonumber(clock[2])
  local last = whole(call('GET', K.token))
  -- A clock that was set back keeps the last token; one that is years ahead was written by hand.
  if last and last > token and last < token + C.horizon_s * 1e6 then token = last end
  local turn = whole(call('HGET', K.heads, 'turn:' .. r.pool)) or 0
  local out, claims, wips = {}, {}, {}
  -- Ten years ahead, to whole seconds, each entry a second before the last: a small sorted set is read
  -- from its front, so each finds its place at once, and no fraction is parsed on the way.
  local horizon = math.floor(now) + C.horizon_s
  local datas = {} -- of facts, by failed runs
  local function claimed_data(attempts)
    datas[attempts] = datas[attempts]
      or string.format('{"worker":%s,"attempt":%d}', json(worker), attempts + 1)
    return datas[attempts]
  end
  while #out < r.limit do
    local first = turn % r.bulk_every == r.bulk_every - 1 and 1 or 0
    local lane = first
    local id, h, text = next_live(place(r.pool, lane))
    if not id then
      lane = 1 - first
      id, h, text = next_live(place(r.pool, lane))
    end
    if not id then break end
    local q = place(r.pool, lane)
    if h[7] and #out > 0 then -- a crash suspect runs alone, so that the next crash has one culprit
      ahead[lane].used = ahead[lane].used - 1
      heads[q.name] = head(q) - 1
      break
    end
    turn = turn + 1
    token = token + 1
    local t = string.format('%.0f', token)
    call('HSET', C.job .. id, 'status', 'started', 'started_at', iso(), 'worker_name', worker, 's_token', t)
    later(claims, C.own .. 'claims:' .. worker, id)
    later(claims, C.own .. 'claims:' .. worker, t)
    later(wips, q.wip, horizon - #out)
    later(wips, q.wip, id .. ':' .. t)
    local attempts = whole(h[4]) or 0
    if h[11] then count('claimed') else fact('claimed', text, claimed_data(attempts)) end
    out[#out + 1] = { id, t, plain(h[5]), plain(h[9]), h[10] and age(h[10]) or '0',
      whole(h[6]) or 0, lane }
    if h[7] then break end
  end

  for _, a in pairs(ahead) do
    if a.used > 0 then call('LPOP', a.q.queue, a.used) end
  end
  in_parts('HSET', claims)
  in_parts('ZADD', wips)

  -- A single claim is the one that runs; with more, the loop says which.
  mark(worker, #out == 1 and out[1][1] or '')
  tell_rq(worker, #out > 0 and 'busy' or 'idle', 0, 0)
  if #out == 0 then
    call('DEL', wake_key(r.pool))
    woken[r.pool] = waking_left or math.max(passed[0], passed[1]) == MOST_PASSED or nil
  else
    call('EXPIRE', C.own .. 'claims:' .. worker, C.claims_ttl_s)
    call('SET', K.token, string.format('%.0f', token))
    call('HSET', K.heads, 'turn:' .. r.pool, turn)
    local left = call('LLEN', place(r.pool, 0).queue) + call('LLEN', place(r.pool, 1).queue)
    if left > 0 then woken[r.pool] = true end
  end
  -- One string: redis-py reads a list of lists value by value, in Python.
  return #out > 0 and cmsgpack.pack(out) or ''
end
