-- DATABASE: publish a version of the vulnerability database; a changed one re-matches every image.
-- Needs    adding.lua
-- ARGV[2]  {key (sluice:<c>:database), version, row JSON}
-- Result   number of image keys that run again, at once or by the next calls; -1: the version is the one on record
local old = call('HGET', P.key, 'version')
if old == P.version then
  call('HSET', P.key, 'row', P.row)
  return -1
end
fact('database', '', string.format('{"version":%s,"previous":%s}', json(P.version), json(old or '')))
local fresh, bulk = {}, {}
for _, text in ipairs(call('ZRANGE', K.images, 0, -1)) do
  if call('EXISTS', C.own .. 'users:' .. text) == 1 then
    -- Before the first database nothing could be matched: whoever waits for it goes on at once.
    local waited = not old and kept('HEXISTS', C.own .. 'image:' .. text, 'match') == 0
    local lane = waited and fresh or bulk
    lane[#lane + 1] = text
  elseif call('EXISTS', C.own .. 'image:' .. text) == 0 then
    call('ZREM', K.images, text) -- expired
  end
end
wake(fresh, 0, 'database ' .. P.version)
wake(bulk, 1, 'database ' .. P.version)
finish()
-- Last of all: after an error on the way the same call comes again, and must wake them still.
call('HSET', P.key, 'version', P.version, 'row', P.row)
return #fresh + #bulk
