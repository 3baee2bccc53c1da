-- IMAGES: what is on record about images, and whether the queue will look at them; at one instant, so
-- that none ends its run between the two. Changes nothing but remembered positions.
-- Needs    adding.lua
-- ARGV[2]  {keys (of images)}
-- Result   list of {used, inventory, match, failure (1 or 0: is there any?), the match's database, time of
--          the last match, standing of the image's key, of its match's key (1 or 0, as MEMBERS says)}
local out = {}
for i, text in ipairs(P.keys) do
  local h = kept('HMGET', C.own .. 'image:' .. text, 'ih', 'fh', 'fail', 'db', 'ver')
  out[i] = {
    call('EXISTS', C.own .. 'users:' .. text), h[1] and 1 or 0, h[2] and 1 or 0, h[3] and 1 or 0, h[4] or '',
    h[5] or '', backed(text) and 1 or 0, backed('match/' .. string.sub(text, 7)) and 1 or 0,
  }
end
return out
