-- ADD: rows and fingerprints, then keys. Fails as a whole at maxmemory (no allow-oom on purpose).
-- Needs    adding.lua, fencing.lua
-- ARGV[2]  {fence, rows, gone, adds}
--            fence  the watcher's; -1: no table is written
--            rows   list of {key, row JSON, fingerprint}
--            gone   list of keys whose row and fingerprint are deleted
--            adds   list of {key, lane, delay_s, cause}
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
for _, a in ipairs(P.adds) do
  local how = add(a[1], a[2], a[3] > 0 and now + a[3] or nil, a[4])
  n[how] = n[how] + 1
end
finish()
return { 1, n.new, n.duplicate, n.dirty, n.promoted, n.revived, n.repaired }
