-- IDENTITY: an image's manifest was read: make its key the image's home, or lead it to the home.
-- Needs    adding.lua, same.lua
-- ARGV[2]  {key, by_manifest (the same with the manifest's digest), manifest, keep_s}
-- Result   the home's key
local home = home_of(P.by_manifest) or P.key
local lead = home .. ' ' .. P.manifest
call('SET', C.own .. 'same:' .. P.by_manifest, lead, 'EX', P.keep_s)
call('SET', C.own .. 'same:' .. P.key, lead, 'EX', P.keep_s)
-- It has a record of its own, from before that was known: no run will keep it true any more. Those who
-- use it do not wait for it, so nothing else would bring them to the home.
if home ~= P.key and redis.pcall('HEXISTS', C.own .. 'image:' .. P.key, 'inv') == 1 then
  local users = kept('HKEYS', C.own .. 'users:' .. P.key)
  if #users <= MOST_WOKEN then table.sort(users) end
  wake(users, 1, 'same image as ' .. home)
end
finish()
return home
