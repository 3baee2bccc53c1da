-- APPEND: write facts and their counters.
-- ARGV[2]  {facts (list of {kind, key, data JSON})}
-- Result   number of facts written
for _, f in ipairs(P.facts) do fact(f[1], f[2], f[3]) end
finish()
return #P.facts
