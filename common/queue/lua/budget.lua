-- BUDGET: may a registry be asked for one more image now? All workers of the cluster share one budget.
-- ARGV[2]  {host, subject (what is pulled: one at a time), op (take|done), and for `take`: per_min (0: any
--           number), concurrent (0: any number), slot_s (a pull is over after that, whoever ends it),
--           waiting_s (who was refused and did not come back for that long waits no more)}
-- Result   take: {seconds until it is worth asking again ('0': go on, one was taken), how many wait}
--          done: {'0', 0}
--
-- budget:<host>   hash: tokens (a minute's worth, at least one), at (when they were counted)
-- pulls:<host>    zset of subjects that are being pulled, by when that must be over
-- refused:<host>  zset of subjects that wait, by when they were refused last
local budget, pulls, refused = C.own .. 'budget:' .. P.host, C.own .. 'pulls:' .. P.host, C.own .. 'refused:' .. P.host
local RECHECK_S = 5 -- nobody says when a pull ends

-- Of others' types, and of a hand's: a number that is none, or lies ahead, counts as absent.
local function plausible(text, most)
  local n = tonumber(text or '')
  return n and n >= 0 and n <= most and n or nil
end

-- Members that stand where none can stand, or no more.
local function clear(key, from, to)
  local gone = kept('ZRANGEBYSCORE', key, from, to)
  if #gone > 0 then in_parts('ZREM', { [key] = gone }) end
end

local function tokens_now(capacity)
  local h = kept('HMGET', budget, 'tokens', 'at')
  local tokens, at = plausible(h[1], capacity), plausible(h[2], now)
  if not (tokens and at) then return capacity end
  return math.min(capacity, tokens + (now - at) * P.per_min / 60)
end

local function refuse(wait_s)
  kept('ZADD', refused, seconds(now), P.subject)
  call('EXPIRE', refused, P.waiting_s)
  return { seconds(wait_s), call('ZCARD', refused) }
end

local function take_one()
  clear(refused, '-inf', seconds(now - P.waiting_s))
  if P.concurrent > 0 then
    -- One that ends later than it could was written while the clock was wrong.
    clear(pulls, '-inf', seconds(now))
    clear(pulls, seconds(now + P.slot_s + 60), '+inf')
    local mine = call('ZSCORE', pulls, P.subject) -- of a run that died: its next one goes on
    if not mine and call('ZCARD', pulls) >= P.concurrent then return refuse(RECHECK_S) end
  end
  if P.per_min > 0 then
    local capacity = math.max(1, P.per_min)
    local tokens = tokens_now(capacity)
    if tokens < 1 then return refuse((1 - tokens) * 60 / P.per_min) end
    kept('HSET', budget, 'tokens', seconds(tokens - 1), 'at', seconds(now))
    call('EXPIRE', budget, math.ceil(capacity * 60 / P.per_min) + 60) -- by then it is full anyway
  end
  if P.concurrent > 0 then
    call('ZADD', pulls, seconds(now + P.slot_s), P.subject)
    call('EXPIRE', pulls, math.ceil(P.slot_s) + 60)
  end
  call('ZREM', refused, P.subject)
  return { '0', 0 }
end

if P.op == 'done' then
  kept('ZREM', pulls, P.subject)
  return { '0', 0 }
end
return take_one()
