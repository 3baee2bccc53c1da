-- COMPLETE: end claims; store what they learned; wake who waits; claim the next ones, if asked to.
-- Runs at maxmemory: it frees memory.
-- Needs    adding.lua, records.lua, claims.lua, claiming.lua
-- ARGV[2]  {worker, running, resent, done, facts, take}
--            running  id of the claim that starts next ('': none, or not worth a mark)
--            resent   the reply of the same call was lost: an old token is no news
--            done     list of {id, key, token, op, fact kind, fact data JSON, …}, op one of
--                       settle (settled JSON, gone, rests (a match that stores nothing), image),
--                       wait, hand (to: another key, which goes on with it), after (reason, delay_s),
--                       release,
--                       retry (reason, message, budget, delay_s, image),
--                       hold (reason, message, source, asked (the source, and it failed), delay_s,
--                       image),
--                       park (reason, message, budget, probe_after_s, image)
--                       image: {inventory, match (ARGV indexes; 0: leave), ih, fh (their hashes),
--                       layers (JSON: what the match server is asked), db (the match's database),
--                       of (hash of the inventory that was matched; '': the one on record),
--                       failure (JSON object without '{' and `at`; '': leave, `settle` clears)}
--            facts    list of {kind, key, data JSON}
--            take     false, or what to claim when all ends were valid (see claiming.lua): a worker
--                     whose end was refused must first find out what it holds
-- ARGV[3..] compressed inventories and matches
-- Result   {list of 1 (done) or 0 (the token is not the current one: nothing was changed), claims as
--          `take` returns them}

-- The hash of a claim that ended, if it stays.
local function unown(id)
  call('HDEL', C.job .. id, 's_token', 's_dirty', 's_suspect', 'worker_name', 'started_at')
end

-- A failed run counts against one budget, and so does the wait until its next try. Time in which the
-- key is held or queued does not. `s_tallies`: '<budget> <failures> <seconds waited>', joined by ';'.
local function charge(id, budget, wait_s)
  local job = C.job .. id
  local text, found = string.gsub(plain(call('HGET', job, 's_tallies')), '(%f[%w]' .. budget .. ' )(%d+) ([%d.]+)',
    function(name, n, waited) return name .. (n + 1) .. ' ' .. seconds((tonumber(waited) or 0) + wait_s) end)
  if found == 0 then
    text = (text == '' and '' or text .. ';') .. budget .. ' 1 ' .. seconds(wait_s)
  end
  call('HSET', job, 's_tallies', text)
end

-- Since when the key fails or is held: users read it, no policy does.
local function begin_failing(id)
  if call('HEXISTS', C.job .. id, 's_since') == 0 then call('HSET', C.job .. id, 's_since', seconds(now)) end
end

-- A field of sources, by spaces, with `source` as the last one; the oldest of too many are left out.
local MOST_FAULTS = 8 -- as common.queue.contract says
local function with_source(id, field, source)
  local sources, known = {}, false
  for other in string.gmatch(plain(call('HGET', C.job .. id, field)), '%S+') do
    if other == source then known = true else sources[#sources + 1] = other end
  end
  sources[#sources + 1] = source
  return table.concat(sources, ' ', math.max(1, #sources - MOST_FAULTS + 1)), known, #sources
end

-- Thousands of keys may come back to a source that is away, again and again for hours. Who tells each
-- time overwrites the ledger: told is, once in a row of holds, that a source holds the key. `s_held`
-- names the sources that were told; while it stands, claims are not told either.
local function tell_hold(d)
  local held, known, n = with_source(d.id, 's_held', d.source)
  if known or n > MOST_FAULTS then
    count(d.kind)
    count(d.kind .. '.' .. d.what)
  else
    call('HSET', C.job .. d.id, 's_held', held)
    fact(d.kind, d.key, d.data, d.what)
  end
end

-- The row of holds ends when a run gets further than the source, whichever way.
local function tell_end(d)
  if d.op == 'hold' then return tell_hold(d) end
  if d.op ~= 'release' then call('HDEL', C.job .. d.id, 's_held') end
  fact(d.kind, d.key, d.data, d.what)
end

-- The key rests: forgotten, or queued once more when it changed meanwhile.
local function rest(d, dirty)
  if dirty then
    unown(d.id)
    forgive(d.id)
    requeue_now(d.id, place(pool_of(d.key), dirty))
    note(d.key, dirty, 'dirty', 'changed while it ran')
  else
    resting[#resting + 1] = C.job .. d.id
    resting[#resting + 1] = C.rq .. 'results:' .. d.id -- a stock worker that failed it left one
  end
end

-- Does anybody wait for one of these keys? Asked once: nobody begins to wait while this script runs.
local any
local function waited_for()
  if any == nil then
    local waiters = {}
    for i, d in ipairs(P.done) do waiters[i] = C.own .. 'waiters:' .. record_of(d.key) end
    any = #waiters > 1000 or call('EXISTS', unpack(waiters)) > 0
  end
  return any
end

local OPS = {}
local settled, at = {}, string.format('%.3f ', now)

function OPS.settle(d, dirty)
  local changed, again = false, false
  if d.image then
    changed, again = store_image(d, true)
  elseif d.rests then
    return rest(d, dirty)
  elseif d.gone then
    call('HDEL', K.settled, d.key)
    forget_uses(d.key)
  else
    later(settled, K.settled, d.key)
    later(settled, K.settled, at .. d.settled)
  end
  rest(d, dirty)
  if again then match_again(d) end
  local text = record_of(d.key)
  local waited = waited_for() and wake_waiters(text, 'settled ' .. text) or {}
  if changed then fan_out(text, waited) end
end

-- Whoever goes on with it is as urgent as the run that ends.
function OPS.hand(d, dirty)
  rest(d, dirty)
  add(d.to, d.lane, nil, d.cause)
end

function OPS.wait(d, dirty)
  rest(d, dirty)
end

function OPS.after(d, dirty, origin)
  unown(d.id)
  if dirty then
    requeue_now(d.id, place(origin.pool, dirty))
  else
    schedule(d.id, origin, now + d.delay_s, d.op .. ' ' .. (d.source or d.budget or d.reason))
  end
end

local function try_again(d, dirty, origin)
  begin_failing(d.id)
  call('HSET', C.job .. d.id, 'exc_info', d.reason .. ': ' .. d.message)
  OPS.after(d, dirty, origin)
  if d.image then
    store_image(d, false)
    local text = record_of(d.key)
    if d.image.failure ~= '' then wake_waiters(text, 'failed ' .. text) end
  end
end

-- A source is at fault, not the key: no attempt is counted.
function OPS.hold(d, dirty, origin)
  -- `s_faults`: the sources that failed for the key since its last success.
  if d.asked then call('HSET', C.job .. d.id, 's_faults', (with_source(d.id, 's_faults', d.source))) end
  try_again(d, dirty, origin)
end

function OPS.retry(d, dirty, origin)
  bump(C.job .. d.id, 's_attempts', 1)
  charge(d.id, d.budget, dirty and 0 or d.delay_s)
  try_again(d, dirty, origin)
end

function OPS.park(d, dirty, origin)
  unown(d.id)
  if d.image then store_image(d, false) end
  if dirty then -- the change may be the fix: dirty wins over dead
    forgive(d.id)
    requeue_now(d.id, place(origin.pool, dirty))
    wake_waiters(record_of(d.key), 'failed ' .. d.key)
  else
    bump(C.job .. d.id, 's_attempts', 1)
    charge(d.id, d.budget, 0)
    begin_failing(d.id)
    park(d.id, d.key, origin, d.budget, d)
  end
end

-- What the runs did comes before how they ended: the ledger is read as a story. Of a call whose
-- reply was lost, it was written by the first one, which took all tokens that were current.
local function is_news()
  if not P.resent then return true end
  for _, d in ipairs(P.done) do
    if fields(d.id, 's_token')[1] == d.token then return true end
  end
  return false
end
if is_news() then
  for _, f in ipairs(P.facts) do fact(f[1], f[2], f[3]) end
end

local out, succeeded, failed, refused = {}, 0, 0, 0
for i, d in ipairs(P.done) do
  local h = fields(d.id, 's_token', 's_dirty', 'origin', 'status')
  local origin = home(d.key, h[3]) or place(pool_of(d.key), 0)
  if h[1] ~= d.token then
    out[i] = 0
    refused = refused + 1
    forget_claim(P.worker, d.id, d.token, origin)
    if not P.resent then
      fact('refused', d.key, string.format('{"what":"completion","worker":%s,"token":%s}', json(P.worker), d.token),
        'completion')
    end
  else
    out[i] = 1
    tell_end(d)
    if d.op == 'release' then
      give_back(P.worker, d.id, d.token, { origin = h[3], dirty = h[2] })
    else
      unclaim(P.worker, d.id, d.token, origin)
      if h[4] == 'canceled' then call('ZREM', C.rq .. 'canceled:' .. h[3], d.id) end
      OPS[d.op](d, lane_of(h[2]), origin)
      if d.op == 'retry' or d.op == 'hold' or d.op == 'park' then failed = failed + 1 else succeeded = succeeded + 1 end
    end
  end
end
wake_more()
in_parts('HSET', settled)
mark(P.worker, P.running)
tell_rq(P.worker, nil, succeeded, failed)
local found = ''
if P.take and refused == 0 then
  write_down() -- a key that is queued again may be claimed again: its old claim must be off the record
  found = take(P.worker, P.take)
end
finish()
return { out, found }
