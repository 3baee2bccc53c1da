-- RECORDS: what is stored about images, who learns of it, and who uses which. Needs adding.lua.
-- `d` is an entry of COMPLETE's `done`; its inventories and matches are ARGV[3..].

-- How new a database is. Versions are names, and an operator may go back to an older one: so what counts
-- is the order in which they were published. One that is not known is newer than all: its server runs
-- already, and its publication is on the way. `seen` is how many publications there had been when it
-- was met: has there been another one since, it was not on the way, and is older than all.
local ranks, in_use, published
local function rank(version, seen)
  if not ranks then
    ranks, in_use = {}, 0
    local h = redis.pcall('HMGET', K.database, 'version', 'past', 'count')
    published = not h.err and h[3] or '0'
    for past in string.gmatch(not h.err and h[2] or '', '%S+') do
      in_use = in_use + 1
      ranks[past] = in_use
    end
    in_use = in_use + 1
    if not h.err and h[1] then ranks[h[1]] = in_use end
  end
  return not version and 0 or ranks[version] or (not seen or seen == published) and math.huge or 0
end

-- Returns what is stored: an inventory goes in always, a match only if it is about the inventory that
-- stands then, and is not older than the one on record. The second result says whether the image must
-- be matched again: nobody else would bring it back.
local function chosen(image, old)
  if image.match == 0 then return false, false end
  if image.of ~= '' and image.of ~= old.ih then return false, true end -- another inventory came meanwhile
  local same = image.inventory == 0 or image.ih == old.ih
  local new, before = rank(image.db), rank(old.db, old.seen or '')
  if same and old.fh and new < before then return false, before < in_use end
  return true, new < in_use
end

local function store_image(d, settles)
  local image = d.image
  local text = record_of(d.key)
  local key = C.own .. 'image:' .. text
  local h = kept('HMGET', key, 'fh', 'ih', 'fail', 'db', 'seen')
  local old = { fh = h[1], ih = h[2], fail = h[3], db = h[4], seen = h[5] }
  local stored, again = chosen(image, old)
  if image.inventory > 0 then
    kept('HSET', key, 'inv', ARGV[image.inventory], 'ih', image.ih, 'layers', image.layers)
  end
  if stored then
    kept('HSET', key, 'match', ARGV[image.match], 'fh', image.fh, 'db', image.db, 'seen', published,
      'ver', seconds(now)) -- equal findings too: that they were looked at again is what it tells
  end
  if image.failure ~= '' then
    kept('HSET', key, 'fail', string.format('{"at":%.3f,', now) .. image.failure)
  elseif settles then
    kept('HDEL', key, 'fail')
  end
  if call('EXISTS', C.own .. 'users:' .. text) == 0 then
    call('EXPIRE', key, C.image_ttl_s)
    again = false
  end
  return stored and old.fh ~= image.fh or image.inventory > 0 and old.ih ~= image.ih
    or settles and old.fail and true, again
end

-- A server that answers by an old database is not asked without a pause.
local function match_again(d)
  local text = 'match/' .. string.sub(d.key, 7)
  local due = text == d.key and now + 1 or nil
  add(text, 1, due, 'another inventory or database came meanwhile')
end

-- Who waited is on the way already: woken twice, thousands of calls apart, it would run twice.
local function fan_out(text, waited)
  local woken_now, users = {}, {}
  for _, waiter in ipairs(waited) do woken_now[waiter] = true end
  for _, user in ipairs(kept('HKEYS', C.own .. 'users:' .. text)) do
    if not woken_now[user] then users[#users + 1] = user end
  end
  if #users <= MOST_WOKEN then table.sort(users) end
  wake(users, 1, 'findings of ' .. text)
end

local function forget_uses(text)
  local uses = C.own .. 'uses:' .. text
  for _, image in ipairs(kept('SMEMBERS', uses)) do
    kept('HDEL', C.own .. 'users:' .. image, text)
    kept('SREM', C.own .. 'waiters:' .. image, text)
    if call('EXISTS', C.own .. 'users:' .. image) == 0 then
      call('EXPIRE', C.own .. 'image:' .. image, C.image_ttl_s)
    end
  end
  call('UNLINK', uses)
end
