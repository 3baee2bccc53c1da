-- AWAIT: return what a workload settled, if it converged; else register to be woken when its run ends.
-- ARGV[2]  {successor, waiter}
-- Result   the settled row, or '' (registered)
local row = call('HGET', K.settled, P.successor)
if row and string.find(row, '"outcome":"Converged"', 1, true) then return row end
local waiters = C.own .. 'waiters:' .. P.successor
kept('SADD', waiters, P.waiter)
call('EXPIRE', waiters, C.image_ttl_s)
return ''
