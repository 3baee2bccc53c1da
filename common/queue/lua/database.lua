-- DATABASE: publish a version of the vulnerability database; a changed one re-matches every image.
-- Needs    adding.lua
-- ARGV[2]  {key (sluice:<c>:database), version, row JSON}
-- Result   number of image keys that run again, at once or by the next calls; -1: the version is the one on record
local MOST_PAST = 8 -- versions before this one: nothing that runs is older than their days
local old = call('HGET', P.key, 'version')
if old == P.version then
  call('HSET', P.key, 'row', P.row)
  return -1
end
-- What was published before, oldest first: a match that began under one of these comes too late.
local past = {}
for version in string.gmatch(call('HGET', P.key, 'past') or '', '%S+') do
  if version ~= P.version and version ~= old then past[#past + 1] = version end
end
if old and string.find(old, '^%S+$') then past[#past + 1] = old end
fact('database', '', string.format('{"version":%s,"previous":%s}', json(P.version), json(old or '')))
local fresh, bulk = {}, {}
for _, text in ipairs(call('ZRANGE', K.images, 0, -1)) do
  if call('EXISTS', C.own .. 'users:' .. text) == 1 then
    local record = kept('HMGET', C.own .. 'image:' .. text, 'ih', 'fh')
    -- Before the first database nothing could be matched: whoever waits for it goes on at once.
    local waited = not old and not record[2]
    local lane = waited and fresh or bulk
    -- With an inventory it is a matter of milliseconds, which must not wait behind pulls.
    lane[#lane + 1] = record[1] and string.gsub(text, '^image/', 'match/') or text
  elseif call('EXISTS', C.own .. 'image:' .. text) == 0 then
    call('ZREM', K.images, text) -- expired
  end
end
wake(fresh, 0, 'database ' .. P.version)
wake(bulk, 1, 'database ' .. P.version)
finish()
-- Last of all: after an error on the way the same call comes again, and must wake them still.
bump(P.key, 'count', 1)
call('HSET', P.key, 'version', P.version, 'row', P.row,
  'past', table.concat(past, ' ', math.max(1, #past - MOST_PAST + 1)))
return #fresh + #bulk
