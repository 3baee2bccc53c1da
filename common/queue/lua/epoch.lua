-- EPOCH: publish a generation of settings, schema, Trivy and projection.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:epoch), digest, version (in the digest; for people), ways (digest of what
--          is no part of it and may let in what was refused; '': not told), at_least, rollout_s, fence
--          (the watcher's)}
-- Result   the epoch's number; 0: the fence is too low
if not fenced(P.fence) then return 0 end
-- Garbage, or more than bounded.EPOCH_LIMIT, counts as absent: by somebody's hand.
local function epoch_of(text)
  local n = whole(text)
  return n and n >= 0 and n <= 2 ^ 41 and n or 0
end
-- What is parked may have been so for a setting that is another now. Of thousands the next to come.
local function look_again(due)
  for pool = 1, POOLS do
    local later = redis.pcall('ZRANGEBYSCORE', probe_key(pool), '(' .. seconds(due), '+inf', 'LIMIT', 0, 10000)
    for _, id in ipairs(later.err and {} or later) do
      call('ZADD', probe_key(pool), seconds(due), id)
      woken[pool] = true
    end
  end
end

local h = call('HMGET', P.key, 'digest', 'number', 'ways')
local number = epoch_of(h[2])
if h[1] and h[1] ~= P.digest then
  look_again(now) -- workers of another generation stand back
elseif h[3] and P.ways ~= '' and h[3] ~= P.ways then
  look_again(now + P.rollout_s) -- workers with the former ways take keys until they are replaced
end
if h[1] ~= P.digest then number = epoch_of(number + 1) end
if number < P.at_least then number = P.at_least end
if number < 1 then number = 1 end -- 0 would say that the fence is too low
call('HSET', P.key, 'digest', P.digest, 'version', P.version, 'number', string.format('%.0f', number))
if P.ways ~= '' then call('HSET', P.key, 'ways', P.ways) end
finish()
return number
