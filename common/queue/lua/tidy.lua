-- TIDY: members of registries that outlived their job. Who deletes a job by hand, or kills a stock
-- worker, leaves them behind, and nobody would meet them again: the counts that `sluice status` and
-- `rq info` show would stay wrong. One page of one registry a call, the next one at the next call.
local PAGE = 32
-- Nothing waits for longer than a day by itself. What is due later than this was put there while the
-- clock was wrong, and a sweep takes it for waiting: it is due now.
local FAR_S = 32 * 86400

local function is_not(status, q)
  return function(id)
    local h = fields(id, 'status', 'origin')
    return h[1] ~= status or h[2] ~= q.name
  end
end

local function is_over(q)
  return function(member, score)
    local id, token = string.match(member, '^(.+):([^:]+)$')
    if not id then return true end
    local h = fields(id, 's_token', 'origin')
    if h[1] == token and h[2] == q.name then return false end
    -- A stock worker's entry carries rq's own expiry, which lies minutes ahead.
    return tonumber(score) < now or tonumber(score) > now + C.horizon_s / 2
  end
end

local function has_no_probe(id)
  local h = fields(id, 'status', 'origin')
  return h[1] ~= 'failed' or not home(text_of(id), h[2])
end

local function registries()
  local found = {}
  for _, q in ipairs(LANES) do
    found[#found + 1] = { q.wip, is_over(q) }
    found[#found + 1] = { q.scheduled, is_not('scheduled', q), true }
    found[#found + 1] = { q.failed, is_not('failed', q) }
    found[#found + 1] = { C.rq .. 'canceled:' .. q.name, is_not('canceled', q) }
  end
  for pool = 1, POOLS do found[#found + 1] = { probe_key(pool), has_no_probe, true } end
  return found
end

local function tidy_page(registry, from)
  local key, outlived, by_time = registry[1], registry[2], registry[3]
  local page = redis.pcall('ZRANGE', key, from, from + PAGE - 1, 'WITHSCORES')
  if page.err then return nil end -- something else stands there; who needs it says so
  local gone = {}
  for i = 1, #page, 2 do
    local far = by_time and tonumber(page[i + 1]) > now + FAR_S
    if far then call('ZADD', key, seconds(now), page[i]) end
    if outlived(page[i], page[i + 1]) then gone[#gone + 1] = page[i] end
  end
  if #gone > 0 then call('ZREM', key, unpack(gone)) end
  return #page == 2 * PAGE and from + PAGE - #gone or nil
end

-- Ids that a stock worker took and never began stand in rq's intermediate list.
local function tidy_taken(q)
  local taken = q.queue .. ':intermediate'
  local ids = redis.pcall('LRANGE', taken, 0, PAGE - 1)
  if ids.err then return end
  for _, id in ipairs(ids) do
    if call('EXISTS', C.job .. id) == 0 then call('LREM', taken, 0, id) end
  end
end

-- What a worker ran whose lease somebody deleted. One field per living loop: few.
local function tidy_running()
  for _, worker in ipairs(call('HKEYS', K.running)) do
    if not call('ZSCORE', K.leases, worker) then call('HDEL', K.running, worker) end
  end
end

-- An image that fails is tried again for all its users, whose own runs are over: no sweep would miss its
-- entry, so whoever deleted that would have stopped it for good. Not at once: one that waits for the
-- first database stands nowhere either.
local AGAIN_S = 600
local function tidy_images(from)
  local page = redis.pcall('ZRANGE', K.images, from, from + PAGE - 1)
  if page.err then return nil end
  for _, text in ipairs(page) do
    local fails = redis.pcall('HEXISTS', C.own .. 'image:' .. text, 'fail') == 1
    if fails and pool_of(text) == 2 and call('EXISTS', C.own .. 'users:' .. text) == 1 and not backed(text) then
      add(text, 1, now + AGAIN_S, 'stood in no queue')
    end
  end
  return #page == PAGE and from + PAGE or nil
end

local function tidy()
  local all = registries()
  local at = (whole(call('HGET', K.heads, 'tidy')) or 0) % (#all + #LANES + 2)
  local from = math.max(whole(call('HGET', K.heads, 'tidy:from')) or 0, 0)
  local next_from
  if at < #all then
    next_from = tidy_page(all[at + 1], from)
  elseif at < #all + #LANES then
    tidy_taken(LANES[at - #all + 1])
  elseif at == #all + #LANES then
    tidy_running()
  else
    next_from = tidy_images(from)
  end
  call('HSET', K.heads, 'tidy', next_from and at or at + 1, 'tidy:from', next_from or 0)
end
