-- RECOVER: after a lost reply, give back the claims on record that the worker does not hold.
-- Needs    claims.lua
-- ARGV[2]  {worker, holding (list of tokens), leaving (true: the worker ends, and so does its lease)}
-- Result   number of keys given back
local holding = {}
for _, token in ipairs(P.holding) do holding[token] = true end
local flat = call('HGETALL', C.own .. 'claims:' .. P.worker)
local lost = {}
for i = 1, #flat, 2 do
  if not holding[flat[i + 1]] then lost[#lost + 1] = { flat[i], flat[i + 1] } end
end
table.sort(lost, last_first)
for _, claim in ipairs(lost) do
  local id, token = claim[1], claim[2]
  local h = fields(id, 's_token', 'origin', 's_dirty')
  if h[1] == token then
    give_back(P.worker, id, token, { origin = h[2], dirty = h[3] })
    fact('released', text_of(id), string.format('{"why":"reply lost","worker":%s}', json(P.worker)),
      'reply_lost')
  else
    call('HDEL', C.own .. 'claims:' .. P.worker, id)
  end
end
if P.leaving then
  call('ZREM', K.leases, P.worker)
  call('HDEL', K.running, P.worker)
  forget(P.worker)
end
finish()
return #lost
