-- Prologue of every queue script: names, time, facts, lists. A script that needs more names the files
-- in its header (`-- Needs    adding.lua`); the loader puts them between the two (scripts.py).
--
-- KEYS (fixed; common/state/names.py writes the same order)
--   1-24   per pool (reconcile, scan, rematch) and lane (fresh, bulk): rq queue, wip, scheduled, failed
--   25-30  per pool: wake list, probe zset
--   31 rq:queues  32 rq:suspended  33 paused  34 heads  35 token  36 counts  37 ledger
--   38 leases  39 running  40 rows  41 want  42 settled  43 fence  44 images  45 waking  46 database
-- Per-id keys: C.job .. <job id>; C.own .. 'claims:' .. <worker>, 'waiters:', 'users:', 'uses:' and
--   'image:' .. <wire form of the key>; C.rq .. 'canceled:' .. <queue>, 'worker:' .. <worker>.
-- ARGV[1]  msgpack: constants (job, rq, own, ids, max_facts, horizon_s, image_ttl_s,
--          claims_ttl_s)
-- ARGV[2]  msgpack: what the script's own header says
local call = redis.call
local C = cmsgpack.unpack(ARGV[1])
local P = cmsgpack.unpack(ARGV[2])
local K = {
  queues = KEYS[31], suspended = KEYS[32], paused = KEYS[33], heads = KEYS[34], token = KEYS[35],
  counts = KEYS[36], ledger = KEYS[37], leases = KEYS[38], running = KEYS[39], rows = KEYS[40],
  want = KEYS[41], settled = KEYS[42], fence = KEYS[43], images = KEYS[44], waking = KEYS[45], database = KEYS[46],
}
local POOLS = 3
local LANE = { [0] = 'fresh', [1] = 'bulk' }

-- Redis' clock only: a worker's may be an hour off.
local clock = call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local LANES, BY_NAME = {}, {}
for i = 1, POOLS * 2 do
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
  return KEYS[POOLS * 8 - 1 + pool * 2]
end

local function probe_key(pool)
  return KEYS[POOLS * 8 + pool * 2]
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
  if not string.find(text, '[^%w/-]') then return C.ids .. string.gsub(text, '/', '__') end
  return C.ids .. string.gsub(text, '[^%w-]', function(c)
    return c == '/' and '__' or string.format('_%02x', string.byte(c))
  end)
end

local function text_of(id)
  local plain = string.gsub(string.sub(id, #C.ids + 1), '__', '/')
  if not string.find(plain, '_', 1, true) then return plain end
  return (string.gsub(string.sub(id, #C.ids + 1), '_([_0-9a-f])([0-9a-f]?)', function(a, b)
    return a == '_' and '/' .. b or string.char(tonumber(a .. b, 16))
  end))
end

local POOL = { ['image/'] = 2, ['match/'] = 3 }
local function pool_of(text)
  return POOL[string.sub(text, 1, 6)] or 1
end

local function seconds(value)
  return string.format('%.6f', value)
end

-- What others write by hand must not stop us. A number that is none counts as absent (beyond 2 ^ 53 a
-- double skips numbers), and so does a lane, a queue of the other pool, or what is no hash at all.
local function whole(text)
  local n = tonumber(text or '')
  return n and n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 and n or nil
end

local function lane_of(text)
  return text == '0' and 0 or text == '1' and 1 or nil
end

local function home(text, origin)
  local q = origin and BY_NAME[origin]
  return q and q.pool == pool_of(text) and q or nil
end

local function ours(id)
  return string.sub(id, 1, #C.ids) == C.ids
end

local function fields(id, ...)
  local h = redis.pcall('HMGET', C.job .. id, ...)
  if not h.err then return h end
  if ours(id) then call('UNLINK', C.job .. id) end
  return {}
end

-- What is kept for one key (who waits for it, who uses it, its record), read or written. Something of
-- another type counts as absent: an error would stop all keys of the same call, each time.
local function kept(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if type(found) ~= 'table' or not found.err then return found end
  if string.find(found.err, 'WRONGTYPE', 1, true) then call('UNLINK', key) end
  return call(command, key, ...)
end

local function bump(key, field, n)
  local sum = redis.pcall('HINCRBY', key, field, n)
  if type(sum) == 'number' then return sum end
  call('HSET', key, field, n) -- it was no number, or too large to grow
  return n
end

-- Facts and their counters: one entry each, in the script that makes the change. `what`, one of a
-- few words, is counted apart: `<kind>.<what>`.
local counted = {}
local function count(field)
  counted[field] = (counted[field] or 0) + 1
end

local told = false
local function fact(kind, text, data, what)
  call('XADD', K.ledger, '*', 'kind', kind, 'key', text, 'data', data)
  count(kind)
  told = true
  if what then count(kind .. '.' .. what) end
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
    h = whole(call('HGET', K.heads, q.name)) or 0
    heads[q.name] = h
  end
  return h
end

local function in_parts(command, lists)
  for key, list in pairs(lists) do
    for at = 1, #list, 1000 do call(command, key, unpack(list, at, math.min(#list, at + 999))) end
  end
end

-- New entries wait here for one RPUSH a lane; `finish` does it, and whoever pops before that.
local tails = {}
local function push_tail(q, id)
  touched[q.queue] = true
  woken[q.pool] = true
  local t = tails[q.name]
  if not t then
    t = { queue = q.queue, at = head(q) + call('LLEN', q.queue) }
    tails[q.name] = t
  end
  t[#t + 1] = id
  return t.at + #t - 1
end

local function flush_tails()
  local lists = {}
  for _, t in pairs(tails) do lists[t.queue] = t end
  tails = {}
  in_parts('RPUSH', lists)
end

local function push_front(q, id)
  heads[q.name] = head(q) - 1
  moved[q.name] = true
  touched[q.queue] = true
  woken[q.pool] = true
  call('LPUSH', q.queue, id)
  return heads[q.name]
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

-- Is the claim that the hash names still on record, so that its end or the reaper will come?
local function claimed(id, worker, token)
  return redis.pcall('HGET', C.own .. 'claims:' .. worker, id) == token and call('ZSCORE', K.leases, worker)
end

-- What is written together, by `finish` or by the script.
local unclaimed, ended = {}, {}
local function later(lists, name, member)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  list[#list + 1] = member
end

-- Hashes of keys that rest go together: at the end, or before an add looks at one of them.
local resting = {}
local function bury()
  for at = 1, #resting, 1000 do
    call('UNLINK', unpack(resting, at, math.min(#resting, at + 999)))
  end
  resting = {}
end

local function write_down()
  flush_tails()
  bury()
  in_parts('HDEL', unclaimed)
  in_parts('ZREM', ended)
  unclaimed, ended = {}, {}
end

local function finish()
  write_down()
  for name in pairs(moved) do call('HSET', K.heads, name, heads[name]) end
  for queue in pairs(touched) do call('SADD', K.queues, queue) end
  for pool in pairs(woken) do
    if call('LLEN', wake_key(pool)) < 64 then call('LPUSH', wake_key(pool), '1') end
  end
  for field, n in pairs(counted) do bump(K.counts, field, n) end
  if told then call('XTRIM', K.ledger, 'MAXLEN', '~', C.max_facts) end
end
