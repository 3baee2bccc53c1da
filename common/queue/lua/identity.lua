-- IDENTITY: an image's manifest was read: make its key the image's home, or lead it to the home.
-- Needs    same.lua
-- ARGV[2]  {key, by_manifest (the same with the manifest's digest), manifest, keep_s}
-- Result   the home's key
local home = home_of(P.by_manifest) or P.key
local lead = home .. ' ' .. P.manifest
call('SET', C.own .. 'same:' .. P.by_manifest, lead, 'EX', P.keep_s)
call('SET', C.own .. 'same:' .. P.key, lead, 'EX', P.keep_s)
return home
