-- LOOKUP: return image records, or register to be woken when they land; one step, so nothing slips by.
-- Needs    adding.lua, same.lua
-- ARGV[2]  {workload, keys, uses (JSON of the use, one per key), keep_s (of identities), quiet}
--            quiet  queue no image: others, who can pull it, ask for it
-- Result   list of {inventory, match, failure, time of the last match, key under which they stand}; an
--          absent part is ''
local out, looked = {}, {}

-- A key that leads elsewhere is used no more, and not only when its user converges: no run gives it a
-- record, so each sweep would find it lost.
local function leave(text)
  if kept('HDEL', C.own .. 'users:' .. text, P.workload) == 0 then return end
  kept('SREM', C.own .. 'uses:' .. P.workload, text)
  kept('SREM', C.own .. 'waiters:' .. text, P.workload)
  if call('EXISTS', C.own .. 'users:' .. text) == 0 then
    call('EXPIRE', C.own .. 'image:' .. text, C.image_ttl_s)
  end
end

-- The keys whose identity is known are used under their home. Its digest may be nothing that this
-- workload's repository has; the manifest it must have.
local function led(asked, use)
  local home, manifest = home_of(asked)
  if not home then return asked, use end
  call('EXPIRE', C.own .. 'same:' .. asked, P.keep_s)
  call('EXPIRE', C.own .. 'same:image/' .. manifest .. rest_of(asked), P.keep_s)
  if home == asked then return asked, use end
  leave(asked)
  return home, string.sub(use, 1, -2) .. ',"digest":"' .. manifest .. '"}'
end

local function register(text, use, h)
  local users = C.own .. 'users:' .. text
  local old = kept('HGET', users, P.workload)
  kept('HSET', users, P.workload, use)
  kept('SADD', C.own .. 'uses:' .. P.workload, text)
  call('ZADD', K.images, seconds(now), text)
  call('PERSIST', C.own .. 'image:' .. text)
  if h[1] and h[2] then return end
  local fresh = not h[3] or old ~= use -- another reference or pull secret may succeed
  if fresh then
    local waiters = C.own .. 'waiters:' .. text
    kept('SADD', waiters, P.workload)
    call('EXPIRE', waiters, C.image_ttl_s)
  end
  -- A key that runs, or waits out a backoff, comes back by itself: another user of the image is
  -- no reason to run it once more, or sooner. Other credentials after a failure are.
  local id = job_id(text)
  local job = fields(id, 'status', 's_token', 'worker_name')
  local sooner = fresh and h[3]
  local runs = job[2] and claimed(id, job[3] or '', job[2])
  if not P.quiet and (sooner or not runs) then
    local lane = (sooner or fresh and job[1] ~= 'scheduled') and 0 or 1
    add(text, lane, nil, 'used by ' .. P.workload)
  end
end

for i, asked in ipairs(P.keys) do
  local text, use = led(asked, P.uses[i])
  local h = kept('HMGET', C.own .. 'image:' .. text, 'inv', 'match', 'fail', 'ver')
  -- Two containers may name one image in two ways. A workload is one user: the first way counts, or
  -- each look-up would find another one than the last and try a failed image again at once.
  if not looked[text] then register(text, use, h) end
  looked[text] = true
  out[i] = { h[1] or '', h[2] or '', h[3] or '', h[4] or '', text }
end
finish()
return out
