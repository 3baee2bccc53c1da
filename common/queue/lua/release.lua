-- RELEASE: a workload uses only the images it keeps; an image without users expires.
-- ARGV[2]  {workload, keep (list of image keys)}
-- Result   number of uses released
local keep = {}
for _, text in ipairs(P.keep) do keep[text] = true end
local uses = C.own .. 'uses:' .. P.workload
local n = 0
for _, text in ipairs(kept('SMEMBERS', uses)) do
  if not keep[text] then
    n = n + 1
    kept('SREM', uses, text)
    kept('SREM', C.own .. 'waiters:' .. text, P.workload)
    kept('HDEL', C.own .. 'users:' .. text, P.workload)
    if call('EXISTS', C.own .. 'users:' .. text) == 0 then
      call('EXPIRE', C.own .. 'image:' .. text, C.image_ttl_s)
    end
  end
end
finish()
return n
