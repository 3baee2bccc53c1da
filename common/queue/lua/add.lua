-- ADD: rows and fingerprints, then keys. Fails as a whole at maxmemory (no allow-oom on purpose).
-- Needs    adding.lua, fencing.lua
-- ARGV[2]  {fence, rows, gone, adds}
--            fence  the watcher's; -1: no table is written
--            rows   list of {key, row JSON, fingerprint}
--            gone   list of keys whose row and fingerprint are deleted
--            adds   key, lane, delay_s, cause of the first, then of the next, … (one flat list:
--                   a table an add would be a tenth of its cost)
-- Result   {1, new, duplicate, dirty, promoted, revived, repaired} or {0} (fence too low)
if P.fence >= 0 and not fenced(P.fence) then return { 0 } end
for _, r in ipairs(P.rows) do
  call('HSET', K.rows, r[1], r[2])
  call('HSET', K.want, r[1], r[3])
end
for _, text in ipairs(P.gone) do
  call('HDEL', K.rows, text)
  call('HDEL', K.want, text)
end
local n = { new = 0, duplicate = 0, dirty = 0, promoted = 0, revived = 0, repaired = 0 }
local adds = P.adds
for i = 1, #adds, 4 do
  local delay_s = adds[i + 2]
  local how = add(adds[i], adds[i + 1], delay_s > 0 and now + delay_s or nil, adds[i + 3])
  n[how] = n[how] + 1
end
finish()
return { 1, n.new, n.duplicate, n.dirty, n.promoted, n.revived, n.repaired }
