-- ADDING: the one implementation of `add`, how many keys are woken at once, and how a key is parked.

local notes = {} -- most keys of a call come by the same way
local function note(text, lane, how, cause)
  local way = how .. lane .. cause
  local data = notes[way]
  if not data then
    data = string.format('{"lane":"%s","how":"%s","cause":%s}', LANE[lane], how, json(cause))
    notes[way] = data
  end
  fact('enqueued', text, data)
end

-- Does `id` stand in the lane's list? O(1) unless somebody else changed the list; then one LPOS per
-- shift of positions, at most 32 a call: beyond that the answer is no, which costs a spare entry.
local shifts, searches = {}, 0
local function stands(q, id, pos)
  local t = tails[q.name]
  if pos then
    if t and t[pos - t.at + 1] == id then return true end
    local i = pos - head(q)
    if i >= 0 and call('LINDEX', q.queue, i) == id then return true end
    local s = shifts[q.name]
    if s and i + s >= 0 and call('LINDEX', q.queue, i + s) == id then
      call('HSET', C.job .. id, 's_pos', pos + s)
      return true
    end
  end
  if searches >= 32 then return false end
  searches = searches + 1
  local at = call('LPOS', q.queue, id)
  if not at then return false end
  if pos then shifts[q.name] = at + head(q) - pos end
  call('HSET', C.job .. id, 's_pos', at + head(q))
  return true
end

-- Is the key where its hash says it is? "No" also where `stands` did not find it in time.
local function backed(text)
  local id = job_id(text)
  local h = fields(id, 'status', 's_token', 'origin', 's_pos', 'worker_name')
  local q = home(text, h[3])
  if not q then return false end
  if h[2] then return claimed(id, h[5] or '', h[2]) end
  if h[1] == 'queued' then return stands(q, id, whole(h[4])) end
  if h[1] == 'scheduled' then return call('ZSCORE', q.scheduled, id) end
  return h[1] == 'failed' and call('ZSCORE', q.failed, id) and call('ZSCORE', probe_key(q.pool), id)
end

-- The call names no argument: the id says the key, and with every value within 64 bytes the hash
-- stays in Redis' compact form by default (337 bytes a queued key instead of 594).
local function create(id, q, status, ...)
  call('HSET', C.job .. id, 'status', status, 'origin', q.name, 'created_at', iso(),
    'data', '["worker.loop.run_key",null,[],{}]', ...)
end

-- `why`: what a delayed or parked key waits for, as `common.queue.listing` reads it.
local function schedule(id, q, due, why)
  call('HSET', C.job .. id, 'status', 'scheduled', 'origin', q.name, 's_why', why)
  call('HDEL', C.job .. id, 's_pos')
  call('ZADD', q.scheduled, seconds(due), id)
  woken[q.pool] = true
end

local function forgive(id)
  call('HDEL', C.job .. id, 's_attempts', 's_tallies', 's_faults', 's_since', 's_held', 's_crashes', 's_suspect',
    'exc_info', 'ended_at')
end

local function add_running(text, id, lane, h)
  local worker = h[6] or ''
  if not claimed(id, worker, h[2]) then
    local q = place(pool_of(text), lane)
    call('HDEL', C.job .. id, 's_token', 's_dirty', 'worker_name')
    call('ZREM', (home(text, h[3]) or q).wip, id .. ':' .. h[2])
    local claims = C.own .. 'claims:' .. worker -- without a lease nobody would reap it
    if redis.pcall('HGET', claims, id) == h[2] then call('HDEL', claims, id) end
    requeue_now(id, q)
    return 'repaired'
  end
  local dirty = lane_of(h[5])
  if not dirty or dirty > lane then
    call('HSET', C.job .. id, 's_dirty', lane)
    return 'dirty'
  end
  count('deduplicated')
  return 'dirty', true
end

local function add_queued(id, q, lane, due, h)
  if lane < q.lane and not due then -- the old entry stays behind: a claim drops it
    requeue_now(id, place(q.pool, lane))
    return 'promoted'
  end
  if stands(q, id, whole(h[4])) then return 'duplicate' end
  requeue_now(id, q)
  return 'repaired'
end

local function add_scheduled(id, q, lane, due)
  local stands_due = call('ZSCORE', q.scheduled, id)
  if due then
    if stands_due and tonumber(stands_due) <= due then return 'duplicate' end
    call('ZADD', q.scheduled, seconds(due), id)
    woken[q.pool] = true
    return stands_due and 'duplicate' or 'repaired'
  end
  if lane > 0 and stands_due then return 'duplicate' end -- a sweep does not shorten a backoff
  call('ZREM', q.scheduled, id)
  requeue_now(id, place(q.pool, lane))
  return stands_due and 'promoted' or 'repaired'
end

local function add_parked(id, q, lane, due)
  local probe = probe_key(q.pool)
  local stands_parked = call('ZSCORE', q.failed, id) and call('ZSCORE', probe, id)
  if lane > 0 and not due and stands_parked then return 'duplicate' end -- the slow probe revives it
  call('ZREM', q.failed, id)
  call('ZREM', probe, id)
  forgive(id)
  if due then
    schedule(id, place(q.pool, lane), due, '')
  else
    requeue_now(id, place(q.pool, lane))
  end
  return stands_parked and 'revived' or 'repaired'
end

local ELSEWHERE = { canceled = true, deferred = true, finished = true }
local function add_absent(text, id, lane, due, h)
  local q = place(pool_of(text), lane)
  if ELSEWHERE[h[1]] and h[3] then call('ZREM', C.rq .. h[1] .. ':' .. h[3], id) end
  if h[1] then call('UNLINK', C.job .. id) end
  if due then
    create(id, q, 'scheduled')
    call('ZADD', q.scheduled, seconds(due), id)
    woken[q.pool] = true
  else
    create(id, q, 'queued', 's_pos', push_tail(q, id))
  end
  return 'new'
end

-- The state table of the queue: what an add does to a key in each state (step.py says the same).
local function add(text, lane, due, cause)
  if #resting > 0 then bury() end
  local id = job_id(text)
  local h = fields(id, 'status', 's_token', 'origin', 's_pos', 's_dirty', 'worker_name')
  local q = home(text, h[3])
  local how, silent
  if h[2] then
    how, silent = add_running(text, id, lane, h)
  elseif h[1] == 'queued' and q then
    how = add_queued(id, q, lane, due, h)
  elseif h[1] == 'scheduled' and q then
    how = add_scheduled(id, q, lane, due)
  elseif h[1] == 'failed' and q then
    how = add_parked(id, q, lane, due)
  else
    how = add_absent(text, id, lane, due, h)
  end
  count('adds.' .. how)
  if how == 'repaired' then count('repairs.add') end
  if how == 'duplicate' then
    count('deduplicated')
  elseif not silent then
    note(text, lane, how, cause)
  end
  return how
end

-- An image may have tens of thousands of users, and Redis answers nobody while a script runs. So a
-- call wakes this many keys, and writes the others down: `waking`, '<lane> <key> <cause>' each. Every
-- claim, end and heartbeat of any worker goes on with them (`wake_more`), so the caller may die.
local MOST_WOKEN = 1000
local room, waking_left = MOST_WOKEN, nil

-- Somebody's next claim comes at once, and not when it has slept.
local function leave_rest()
  waking_left = true
  for pool = 1, POOLS do woken[pool] = true end
end

local function wake(texts, lane, cause)
  cause = string.gsub(cause, '[^%w%p ]', '?') -- as `wake_more` reads it
  local at_once = math.min(#texts, room)
  room = room - at_once
  if at_once < #texts then leave_rest() end
  for at = at_once + 1, #texts, 1000 do
    local part = {}
    for i = at, math.min(at + 999, #texts) do
      part[#part + 1] = lane .. ' ' .. texts[i] .. ' ' .. cause
    end
    call('RPUSH', K.waking, unpack(part))
  end
  for i = 1, at_once do add(texts[i], lane, nil, cause) end
end

-- Entries go when their keys are queued: an error on the way loses none.
local function wake_more()
  if room == 0 then return end
  local found = redis.pcall('LRANGE', K.waking, 0, room - 1)
  if #found == 0 then return end -- no list, or none of ours: who writes to it says so
  for _, entry in ipairs(found) do
    local lane, text, cause = string.match(entry, '^([01]) (%S+) ([%w%p ]*)$')
    if lane then add(text, tonumber(lane), nil, cause) end
  end
  call('LPOP', K.waking, #found)
  if call('LLEN', K.waking) > 0 then leave_rest() end
end

-- Every end of a key wakes who waits for it; they read the reason in its record. Returns them.
local function wake_waiters(text, cause)
  local key = C.own .. 'waiters:' .. text
  local waiting = kept('SMEMBERS', key)
  if #waiting == 0 then return waiting end
  call('UNLINK', key)
  if #waiting <= MOST_WOKEN then table.sort(waiting) end
  wake(waiting, 0, cause)
  return waiting
end

-- Images whose runs need a layer that the run of `text` was analysing: it ended, whichever way. They
-- wait out a delay, which a bulk key would not end, so they come fresh.
local function wake_layer_waiters(text)
  local key = C.own .. 'layer-waiters:' .. text
  local waiting = redis.pcall('SMEMBERS', key)
  if #waiting == 0 and not waiting.err then return 0 end
  call('UNLINK', key)
  if waiting.err then return 0 end
  local images = {}
  for _, waiter in ipairs(waiting) do
    if string.find(waiter, '^image/%S+$') then images[#images + 1] = waiter end
  end
  if #images <= MOST_WOKEN then table.sort(images) end
  wake(images, 0, 'layers of ' .. text)
  return #images
end

-- The image whose record a run of the key writes; of a workload, the key itself.
local function record_of(text)
  return pool_of(text) == 3 and 'image/' .. string.sub(text, 7) or text
end

-- `class` is the error class whose policy parks it; `failure` is {reason, message, probe_after_s}.
local function park(id, text, q, class, failure)
  call('HSET', C.job .. id, 'status', 'failed', 'ended_at', iso(), 's_why', 'park ' .. class,
    'exc_info', failure.reason .. ': ' .. failure.message)
  call('HDEL', C.job .. id, 's_pos')
  call('ZADD', q.failed, seconds(now + C.horizon_s), id)
  call('ZADD', probe_key(q.pool), seconds(now + failure.probe_after_s), id)
  call('SADD', K.queues, q.queue)
  wake_waiters(record_of(text), 'parked ' .. text)
end
