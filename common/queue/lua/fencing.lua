-- FENCING: a table write of the watcher carries its fence; one below the highest seen is refused.
local function fenced(fence)
  local current = whole(call('GET', K.fence)) or 0
  if fence < current then
    fact('refused', '', string.format('{"what":"table write","fence":%d,"current":%d}', fence, current),
      'table')
    finish()
    return false
  end
  if fence > current then call('SET', K.fence, string.format('%.0f', fence)) end
  return true
end
