-- WAITERS: who waits for each key's end? Reads only.
-- ARGV[2]  {keys}
-- Result   a waiter, the number of the key that it waits for, the next waiter, … (one flat list)
local out = {}
for i, text in ipairs(P.keys) do
  local waiting = redis.pcall('SMEMBERS', C.own .. 'waiters:' .. text) -- of another type: nobody waits
  for _, waiter in ipairs(waiting.err and {} or waiting) do
    out[#out + 1] = waiter
    out[#out + 1] = i
  end
end
return out
