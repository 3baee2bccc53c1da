-- Prologue of every queue script: names, time, facts, and the one implementation of `add`.
--
-- KEYS (fixed; common/state/names.py writes the same order)
--   1-16   per pool (reconcile, scan) and lane (fresh, bulk): rq queue, wip, scheduled, failed
--   17-20  per pool: wake list, probe zset
--   21 rq:queues  22 rq:suspended  23 paused  24 heads  25 token  26 counts  27 ledger
--   28 leases  29 running  30 rows  31 want  32 settled  33 fence  34 images
-- Per-id keys: C.job .. <job id>; C.own .. 'claims:' .. <worker>, 'waiters:', 'users:', 'uses:' and
--   'image:' .. <wire form of the key>; C.rq .. 'canceled:' .. <queue>, 'worker:' .. <worker>.
-- ARGV[1]  msgpack: constants (job, rq, own, ids, max_facts, horizon_s, image_ttl_s)
-- ARGV[2]  msgpack: what the script's own header says
local call = redis.call
local C = cmsgpack.unpack(ARGV[1])
local P = cmsgpack.unpack(ARGV[2])
local K = {
  queues = KEYS[21], suspended = KEYS[22], paused = KEYS[23], heads = KEYS[24], token = KEYS[25],
  counts = KEYS[26], ledger = KEYS[27], leases = KEYS[28], running = KEYS[29], rows = KEYS[30],
  want = KEYS[31], settled = KEYS[32], fence = KEYS[33], images = KEYS[34],
}
local LANE = { [0] = 'fresh', [1] = 'bulk' }

-- Redis' clock only: a worker's may be an hour off.
local clock = call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local LANES, BY_NAME = {}, {}
for i = 1, 4 do
  local b = (i - 1) * 4
  local q = {
    queue = KEYS[b + 1], wip = KEYS[b + 2], scheduled = KEYS[b + 3], failed = KEYS[b + 4],
    pool = math.ceil(i / 2), lane = (i - 1) % 2, name = string.sub(KEYS[b + 1], #C.rq + 7),
  }
  LANES[i] = q
  BY_NAME[q.name] = q
end

local function place(pool, lane)
  return LANES[(pool - 1) * 2 + lane + 1]
end

local function wake_key(pool)
  return KEYS[15 + pool * 2]
end

local function probe_key(pool)
  return KEYS[16 + pool * 2]
end

-- rq writes dates in this form; Redis' Lua has no os.date. Days to civil: H. Hinnant's algorithm.
local iso_text
local function iso()
  if iso_text then return iso_text end
  local s = tonumber(clock[1])
  local z = math.floor(s / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local d = doy - math.floor((153 * mp + 2) / 5) + 1
  local m = mp < 10 and mp + 3 or mp - 9
  local y = yoe + era * 400 + (m <= 2 and 1 or 0)
  local r = s % 86400
  iso_text = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', y, m, d, math.floor(r / 3600),
    math.floor(r % 3600 / 60), r % 60, tonumber(clock[2]))
  return iso_text
end

-- Ids: '/' -> '__', other bytes outside [A-Za-z0-9-] -> '_hh'; the same as Names.job_id.
local function job_id(text)
  return C.ids .. string.gsub(text, '[^%w-]', function(c)
    return c == '/' and '__' or string.format('_%02x', string.byte(c))
  end)
end

local function text_of(id)
  return (string.gsub(string.sub(id, #C.ids + 1), '_([_0-9a-f])([0-9a-f]?)', function(a, b)
    return a == '_' and '/' .. b or string.char(tonumber(a .. b, 16))
  end))
end

local function pool_of(text)
  return string.sub(text, 1, 6) == 'image/' and 2 or 1
end

local function seconds(value)
  return string.format('%.6f', value)
end

-- Facts and their counters: one entry each, in the script that makes the change.
local counted = {}
local function count(kind, n)
  counted[kind] = (counted[kind] or 0) + n
end

local function fact(kind, text, data)
  call('XADD', K.ledger, 'MAXLEN', '~', C.max_facts, '*', 'kind', kind, 'key', text, 'data', data)
  count(kind, 1)
end

local quoted = {}
local function json(text)
  local q = quoted[text]
  if not q then
    -- cjson writes '/' as '\\/': true JSON, but longer, and our keys are full of it.
    q = string.find(text, '^[%w/:._ -]*$') and '"' .. text .. '"' or cjson.encode(text)
    quoted[text] = q
  end
  return q
end

-- Lists. `heads` holds, per lane, the position of the entry at the front; a tail push stands at
-- head + length, and the job remembers its position. So LINDEX proves that an id stands in the list.
local heads, moved, touched, woken = {}, {}, {}, {}
local function head(q)
  local h = heads[q.name]
  if not h then
    h = tonumber(call('HGET', K.heads, q.name) or 0)
    heads[q.name] = h
  end
  return h
end

local function push_tail(q, id)
  touched[q.queue] = true
  woken[q.pool] = true
  return head(q) + call('RPUSH', q.queue, id) - 1
end

local function push_front(q, id)
  heads[q.name] = head(q) - 1
  moved[q.name] = true
  touched[q.queue] = true
  woken[q.pool] = true
  call('LPUSH', q.queue, id)
  return heads[q.name]
end

local function pop(q)
  local id = call('LPOP', q.queue)
  if id then
    heads[q.name] = head(q) + 1
    moved[q.name] = true
  end
  return id
end

-- Does `id` stand in the lane's list? O(1) unless somebody else changed the list; then one LPOS per
-- shift of positions, at most 32 a call: beyond that the answer is no, which costs a spare entry.
local shifts, searches = {}, 0
local function stands(q, id, pos)
  if pos then
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

local function note(text, lane, how, cause)
  fact('enqueued', text, string.format('{"lane":"%s","how":"%s","cause":%s}', LANE[lane], how, json(cause)))
end

-- Put a known key (its hash exists or is created here) at the end or front of its lane.
local function queue_now(id, q, front)
  local pos = front and push_front(q, id) or push_tail(q, id)
  call('HSET', C.job .. id, 'status', 'queued', 'origin', q.name, 's_pos', pos)
end

local function requeue_now(id, q, front)
  queue_now(id, q, front)
  call('HSET', C.job .. id, 'enqueued_at', iso())
end

-- The call names no argument: the id says the key, and with every value within 64 bytes the hash
-- stays in Redis' compact form by default (337 bytes a queued key instead of 594).
local function create(id, q, status)
  call('HSET', C.job .. id, 'status', status, 'origin', q.name, 'created_at', iso(),
    'data', '["worker.loop.run_key",null,[],{}]')
end

local function schedule(id, q, due)
  call('HSET', C.job .. id, 'status', 'scheduled', 'origin', q.name)
  call('HDEL', C.job .. id, 's_pos')
  call('ZADD', q.scheduled, seconds(due), id)
  woken[q.pool] = true
end

local function forgive(id)
  call('HDEL', C.job .. id, 's_attempts', 's_tallies', 's_crashes', 's_suspect', 'exc_info', 'ended_at')
end

-- A failed run counts against one budget, and its first failure starts that budget's time.
-- `s_tallies`: '<budget> <failures> <first, Unix seconds>', joined by ';'.
local function charge(id, budget)
  local job = C.job .. id
  local text, found = string.gsub(call('HGET', job, 's_tallies') or '', '(%f[%w]' .. budget .. ' )(%d+)',
    function(name, n) return name .. (tonumber(n) + 1) end)
  if found == 0 then
    text = (text == '' and '' or text .. ';') .. budget .. ' 1 ' .. seconds(now)
  end
  call('HSET', job, 's_tallies', text)
end

-- Is the claim that the hash names still on record, so that its end or the reaper will come?
local function claimed(id, worker, token)
  return call('HGET', C.own .. 'claims:' .. worker, id) == token and call('ZSCORE', K.leases, worker)
end

local function add_running(text, id, lane, h)
  if not claimed(id, h[6] or '', h[2]) then
    local q = place(pool_of(text), lane)
    call('HDEL', C.job .. id, 's_token', 's_dirty', 'worker_name')
    call('ZREM', (BY_NAME[h[3]] or q).wip, id .. ':' .. h[2])
    requeue_now(id, q)
    return 'repaired'
  end
  local dirty = tonumber(h[5] or '')
  if not dirty or dirty > lane then
    call('HSET', C.job .. id, 's_dirty', lane)
    return 'dirty'
  end
  count('deduplicated', 1)
  return 'dirty', true
end

local function add_queued(id, q, lane, due, h)
  if lane < q.lane and not due then -- the old entry stays behind: a claim drops it
    requeue_now(id, place(q.pool, lane))
    return 'promoted'
  end
  if stands(q, id, tonumber(h[4] or '')) then return 'duplicate' end
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
    schedule(id, place(q.pool, lane), due)
  else
    requeue_now(id, place(q.pool, lane))
  end
  return stands_parked and 'revived' or 'repaired'
end

local function add_absent(text, id, lane, due, h)
  local q = place(pool_of(text), lane)
  if h[1] and h[3] then call('ZREM', C.rq .. h[1] .. ':' .. h[3], id) end -- canceled, stopped, …
  if h[1] then call('UNLINK', C.job .. id) end
  create(id, q, due and 'scheduled' or 'queued')
  if due then
    call('ZADD', q.scheduled, seconds(due), id)
    woken[q.pool] = true
  else
    call('HSET', C.job .. id, 's_pos', push_tail(q, id))
  end
  return 'new'
end

-- The state table of the queue: what an add does to a key in each state (step.py says the same).
local function add(text, lane, due, cause)
  local id = job_id(text)
  local h = call('HMGET', C.job .. id, 'status', 's_token', 'origin', 's_pos', 's_dirty', 'worker_name')
  local q = h[3] and BY_NAME[h[3]]
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
  if how == 'duplicate' then
    count('deduplicated', 1)
  elseif not silent then
    note(text, lane, how, cause)
  end
  return how
end

-- Claims. Their records are deleted together, by `finish`.
local unclaimed, ended = {}, {}
local function later(lists, name, member)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  list[#list + 1] = member
end

local function unclaim(worker, id, token, q)
  later(unclaimed, C.own .. 'claims:' .. worker, id)
  later(ended, q.wip, id .. ':' .. token)
end

-- The hash of a claim that ended, if it stays.
local function unown(id)
  call('HDEL', C.job .. id, 's_token', 's_dirty', 's_suspect', 'worker_name', 'started_at')
end

local function mark(worker, id)
  if id == '' then call('HDEL', K.running, worker) else call('HSET', K.running, worker, id) end
end

-- Back to the front of its lane, or of the more urgent one that a change asked for.
local function give_back(worker, id, token, h)
  local q = BY_NAME[h.origin]
  local dirty = tonumber(h.dirty or '')
  unclaim(worker, id, token, q)
  call('HDEL', C.job .. id, 's_token', 's_dirty', 'worker_name', 'started_at')
  if dirty and dirty < q.lane then q = place(q.pool, dirty) end
  requeue_now(id, q, true)
end

-- Every end of a key wakes who waits for it; they read the reason in its record.
local function wake_waiters(text, cause)
  local key = C.own .. 'waiters:' .. text
  local waiting = call('SMEMBERS', key)
  if #waiting == 0 then return end
  table.sort(waiting)
  call('DEL', key)
  for _, waiter in ipairs(waiting) do add(waiter, 0, nil, cause) end
end

local function park(id, text, q, reason, message, probe_after_s)
  call('HSET', C.job .. id, 'status', 'failed', 'ended_at', iso(), 'exc_info', reason .. ': ' .. message)
  call('HDEL', C.job .. id, 's_pos')
  call('ZADD', q.failed, seconds(now + C.horizon_s), id)
  call('ZADD', probe_key(q.pool), seconds(now + probe_after_s), id)
  call('SADD', K.queues, q.queue)
  wake_waiters(text, 'parked ' .. text)
end

-- rq's record of a loop, if there is one; a field of one that expired would stay for ever.
local function tell_rq(worker, state, succeeded, failed)
  local key = C.rq .. 'worker:' .. worker
  if call('EXISTS', key) == 0 then return end
  if state then call('HSET', key, 'state', state) end
  if succeeded > 0 then call('HINCRBY', key, 'successful_job_count', succeeded) end
  if failed > 0 then call('HINCRBY', key, 'failed_job_count', failed) end
end

local function in_parts(command, lists)
  for key, list in pairs(lists) do
    for at = 1, #list, 1000 do call(command, key, unpack(list, at, math.min(#list, at + 999))) end
  end
end

local function finish()
  in_parts('HDEL', unclaimed)
  in_parts('ZREM', ended)
  for name in pairs(moved) do call('HSET', K.heads, name, heads[name]) end
  for queue in pairs(touched) do call('SADD', K.queues, queue) end
  for pool in pairs(woken) do
    if call('LLEN', wake_key(pool)) < 64 then call('LPUSH', wake_key(pool), '1') end
  end
  for kind, n in pairs(counted) do call('HINCRBY', K.counts, kind, n) end
end

-- A table write of the watcher carries its fence; one below the highest seen is refused.
local function fenced(fence)
  local current = tonumber(call('GET', K.fence) or 0)
  if fence < current then
    fact('refused', '', string.format('{"what":"table write","fence":%d,"current":%d}', fence, current))
    finish()
    return false
  end
  if fence > current then call('SET', K.fence, string.format('%.0f', fence)) end
  return true
end
