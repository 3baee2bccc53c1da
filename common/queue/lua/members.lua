-- MEMBERS: is each key where its hash says it is? Changes nothing but remembered positions.
-- Needs    adding.lua
-- ARGV[2]  {keys}
-- Result   list of 1 (queued, running, delayed or parked with a probe; proven) or 0 (also: not found
--          in time, see `stands`)
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
local out = {}
for i, text in ipairs(P.keys) do out[i] = backed(text) and 1 or 0 end
return out
