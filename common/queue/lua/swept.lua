-- SWEPT: say that a sweep is done.
-- Needs    fencing.lua
-- ARGV[2]  {key (sluice:<c>:control), number (of the request that it answers), fence (the watcher's)}
-- Result   1; 0: the fence is too low
if not fenced(P.fence) then return 0 end
call('HSET', P.key, 'swept', string.format('%.0f', P.number))
return 1
