-- RIGHTS: what the calling user may do. Runs nothing, touches no key, has no prologue: it must run
-- for a user whose rights to keys are what is missing.
-- ARGV[1]  msgpack: list of calls, each a command with its arguments
-- Result   list of 1 (allowed) or 0 (not allowed, or unknown to this server)
local out = {}
for i, words in ipairs(cmsgpack.unpack(ARGV[1])) do
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  out[i] = known and allowed and 1 or 0
end
return out
