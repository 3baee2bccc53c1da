-- Where the record of an image stands, which several digests may name: its index's, its manifest's.
-- same:<key> is '<key of the home> <digest of the manifest>'. What others wrote there counts as absent,
-- and no key leads to another platform or to other options.
local function rest_of(text)
  return string.match(text, '^image/[^/]+(/%S+)$')
end

local function home_of(text)
  local found = redis.pcall('GET', C.own .. 'same:' .. text)
  if type(found) ~= 'string' then return nil end
  local home, manifest = string.match(found, '^(image/sha256:%x+/%S+) (sha256:%x+)$')
  if not home or rest_of(home) ~= rest_of(text) then return nil end
  return home, manifest
end
