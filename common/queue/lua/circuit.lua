-- CIRCUIT: ask whether a source may be asked, or tell how it answered (common/model/circuit.py).
-- ARGV[2]  {key (sluice:<c>:circuits), op (enter|fail|succeed|leave), source, policy (threshold, first_s,
--           cap_s, probe_s), forget_s, longest_rest_s, and for `fail`: work_key, failed_before,
--           reason, message, rest_s}
-- Result   enter: {seconds to wait ('0': go on), reason of the last failure (empty: none), 1: the probe,
--          failures in a row}
--          fail: {failures, seconds until somebody may ask ('0': closed), 1 when the key is spared}
--          succeed: 1 when that closed an open circuit
--          leave: 1 when the probe was given back: it learned nothing about the source
local text = call('HGET', P.key, P.source)
-- A record that cannot be read is none: one is made anew by the next failure.
local function decoded(record)
  local readable, found = pcall(cjson.decode, record)
  local whole = readable and type(found) == 'table' and type(found.keys) == 'table'
    and type(found.reason) == 'string' and type(found.message) == 'string'
  for _, field in ipairs({ 'failures', 'openings', 'until', 'probe_until', 'since', 'touched' }) do
    local n = whole and found[field] -- neither NaN nor infinite: cjson reads those, and writes none
    whole = type(n) == 'number' and n > -math.huge and n < math.huge
  end
  if not whole then return nil end
  -- Nobody is sent away for longer than that: the clock was set back, or a hand wrote it.
  found['until'] = math.min(found['until'], now + math.max(P.policy.cap_s, P.longest_rest_s))
  found.probe_until = math.min(found.probe_until, now + P.policy.probe_s)
  return found
end

local c = text and decoded(text)

local function store()
  c.touched = now
  call('HSET', P.key, P.source, cjson.encode(c))
end

local function tell(state, wait)
  fact('circuit', '', string.format('{"source":%s,"state":"%s","reason":%s,"failures":%d,"wait_s":%.3f}',
    json(P.source), state, json(c.reason), c.failures, wait), state)
end

-- Sources that nobody asked for a day: registries that are gone, workers that are no more. Whoever may
-- create a Pod may name a registry that nobody knows, thousands of them: a few a call, in turn.
local function forget_old()
  local from = call('HGET', K.heads, 'circuits:from') or '0'
  if #from > 15 or not string.find(from, '^%d+$') then from = '0' end
  local page = call('HSCAN', P.key, from, 'COUNT', 32)
  local all = page[2]
  call('HSET', K.heads, 'circuits:from', page[1])
  for i = 1, #all, 2 do
    local old = decoded(all[i + 1])
    if not old or old.touched + P.forget_s < now then call('HDEL', P.key, all[i]) end
  end
end

local OPS = {}

function OPS.enter()
  if not c or c.openings == 0 then return { '0', '', 0, 0 } end
  if now < c['until'] then return { seconds(c['until'] - now), c.reason, 0, c.failures } end
  -- Most probes end long before they are given up.
  if now < c.probe_until then return { seconds(math.min(c.probe_until - now, P.policy.first_s)), c.reason, 0, c.failures } end
  c.probe_until = now + P.policy.probe_s
  -- Told once an opening: a probe that another source refuses is given back, and the next key's turn
  -- comes at once.
  local news = c.shown ~= c.openings
  c.shown = c.openings
  store()
  if news then
    tell('probing', 0)
  else
    count('circuit')
    count('circuit.probing')
  end
  return { '0', c.reason, 1, c.failures }
end

function OPS.fail()
  if not c then
    forget_old()
    c = { failures = 0, keys = {}, openings = 0, ['until'] = 0, probe_until = 0, since = now }
  end
  local known = false
  for _, key in ipairs(c.keys) do known = known or key == P.work_key end
  if not known and #c.keys < P.policy.threshold then c.keys[#c.keys + 1] = P.work_key end
  c.failures = c.failures + 1
  c.reason, c.message = P.reason, P.message
  local opens
  if c.openings > 0 then opens = now >= c['until'] else opens = #c.keys >= P.policy.threshold end
  if opens then
    c.openings = c.openings + 1
    c.probe_until = 0
    c['until'] = now + math.min(P.policy.cap_s, P.policy.first_s * 2 ^ math.min(c.openings - 1, 32))
  end
  local wait = 0
  if c.openings > 0 then
    c['until'] = math.max(c['until'], now + math.min(P.rest_s, P.longest_rest_s))
    wait = math.max(0, c['until'] - now)
  end
  store()
  if opens then tell('open', wait) end
  local spared = c.openings > 0 or known or not P.failed_before
  return { c.failures, seconds(wait), spared and 1 or 0 }
end

function OPS.succeed()
  if not c then return 0 end
  call('HDEL', P.key, P.source)
  if c.openings == 0 then return 0 end
  tell('closed', 0)
  return 1
end

function OPS.leave()
  if not c or c.openings == 0 or c.probe_until == 0 then return 0 end
  c.probe_until = 0
  store()
  return 1
end

local result = OPS[P.op]()
finish()
return result
