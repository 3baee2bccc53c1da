-- LEADER: leave the leading watcher's sign of life.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:leader), holder (for people), ttl_s, fence (the watcher's)}
-- Result   1; 0: the fence is too low
if not fenced(P.fence) then return 0 end
local fence, h = string.format('%.0f', P.fence), redis.pcall('HMGET', P.key, 'fence', 'since')
if h.err then call('DEL', P.key) end
if h[1] ~= fence or not tonumber(h[2] or '') then
  call('HSET', P.key, 'fence', fence, 'holder', P.holder, 'since', seconds(now))
end
call('HSET', P.key, 'heard', seconds(now))
call('EXPIRE', P.key, P.ttl_s)
return 1
