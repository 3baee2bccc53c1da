-- LAYERS: lease the layers that an image's run will analyse, all of them or none; end such leases.
-- Needs    adding.lua
-- ARGV[2]  {op, key (of the image), token (of the claim that runs it), options, digests, and
--            lease: lost (the match server has none of them any more)
--            done:  contents (what each unpacks to; '': nobody looked), keep_s}
-- Result   lease: {key of an image whose run holds one of them ('': all others are leased now), per
--          layer what it is known to unpack to ('': not known)}
--          done, free: number of keys woken
--
-- A layer is `done <content>`, or leased: `<token> <image key>`. A lease is worth as much as the claim
-- that took it: whoever was reaped holds nothing, and nothing needs to be cleaned up. Nobody waits
-- while holding any, so nobody can wait in a circle.
local function layer_key(digest)
  return C.own .. 'layer:' .. digest .. '/' .. P.options
end

-- What others wrote there counts as nothing, and is overwritten by the next lease.
local function read(digest)
  local value = redis.pcall('GET', layer_key(digest))
  if type(value) ~= 'string' then return nil end
  local content = string.match(value, '^done (%S*)$')
  if content then return 'done', content end
  local token, text = string.match(value, '^(%d+) (image/%S+)$')
  if not token then return nil end
  return 'leased', token, text
end

local function holds(token, text)
  local h = fields(job_id(text), 's_token', 'worker_name')
  return h[1] == token and claimed(job_id(text), h[2] or '', token)
end

local function write(digest, value, keep_s)
  local key = layer_key(digest)
  call('SET', key, value, 'EX', keep_s)
end

local OPS = {}

function OPS.lease()
  -- A run whose claim was given to another must not keep that one waiting.
  if not holds(P.token, P.key) then return { P.key } end
  local free, contents = {}, {}
  for i, digest in ipairs(P.digests) do
    local state, first, text = read(digest)
    if state == 'leased' and text ~= P.key and holds(first, text) then
      local waiters = C.own .. 'layer-waiters:' .. text
      if type(redis.pcall('SADD', waiters, P.key)) ~= 'number' then
        call('UNLINK', waiters)
        call('SADD', waiters, P.key)
      end
      call('EXPIRE', waiters, C.claims_ttl_s)
      return { text }
    end
    contents[i] = state == 'done' and first or ''
    if state == 'done' and not P.lost then
      call('EXPIRE', layer_key(digest), P.keep_s)
    else
      free[#free + 1] = digest
    end
  end
  for _, digest in ipairs(free) do write(digest, P.token .. ' ' .. P.key, C.claims_ttl_s) end
  return { '', contents }
end

function OPS.done()
  for i, digest in ipairs(P.digests) do write(digest, 'done ' .. P.contents[i], P.keep_s) end
  call('UNLINK', C.own .. 'documents:' .. P.key)
  return wake_layer_waiters(P.key)
end

function OPS.free()
  for _, digest in ipairs(P.digests) do
    local state, token, text = read(digest)
    if state == 'leased' and text == P.key and token == P.token then call('UNLINK', layer_key(digest)) end
  end
  return wake_layer_waiters(P.key)
end

local result = OPS[P.op]()
finish()
return result
