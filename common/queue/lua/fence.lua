-- FENCE: take a fence higher than every other. Microseconds, so that it grows across a flush too.
-- ARGV[2]  {}
-- Result   the fence
local fence = math.max((whole(call('GET', K.fence)) or 0) + 1, math.floor(now * 1e6))
call('SET', K.fence, string.format('%.0f', fence))
return string.format('%.0f', fence)
