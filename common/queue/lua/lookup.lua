-- LOOKUP: return image records, or register to be woken when they land; one step, so nothing slips by.
-- Needs    adding.lua
-- ARGV[2]  {workload, keys, uses (JSON of the use, one per key), quiet}
--            quiet  queue no image: others, who can pull it, ask for it
-- Result   list of {inventory, match, failure, time of the last match}; an absent part is ''
local out = {}
for i, text in ipairs(P.keys) do
  local record = C.own .. 'image:' .. text
  local users = C.own .. 'users:' .. text
  local h = kept('HMGET', record, 'inv', 'match', 'fail', 'ver')
  local old = kept('HGET', users, P.workload)
  kept('HSET', users, P.workload, P.uses[i])
  kept('SADD', C.own .. 'uses:' .. P.workload, text)
  call('ZADD', K.images, seconds(now), text)
  call('PERSIST', record)
  if not (h[1] and h[2]) then
    local fresh = not h[3] or old ~= P.uses[i] -- another reference or pull secret may succeed
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
  out[i] = { h[1] or '', h[2] or '', h[3] or '', h[4] or '' }
end
finish()
return out
