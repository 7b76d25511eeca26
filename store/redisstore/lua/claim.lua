-- Claim: the right to run.
local token, fence, guarantee, lease, alive, max_attempts, retention, unknown_retention =
  struct.unpack('>c16I4BI6I6I4I6I6', ARGV[1])
local identity = string.sub(ARGV[2], 64)
local method_size, key_size = struct.unpack('>I2I2', identity, 35)
local note = string.sub(identity, 39 + method_size + key_size)

local function stricter(a, b)
  if a < AT_LEAST_ONCE or b < AT_LEAST_ONCE then
    return AT_MOST_ONCE
  elseif a == EXACTLY_ONCE or b == EXACTLY_ONCE then
    return EXACTLY_ONCE
  end

  return AT_LEAST_ONCE
end

-- A claim names the fence that it expects, so that a late copy of a losing claim cannot win (rule 1). claim_first.lua handles claims that
-- expect no record.
if not record then
  return refused()
end

-- Rule 5: a key is bound to its first request, in every state. Digests of different schemes cannot be compared.
if string.sub(record.identity, 1, 2) == string.sub(identity, 1, 2)
  and string.sub(record.identity, 3, 34) ~= string.sub(identity, 3, 34) then
  return refused(record, stored)
end

if record.token == token then
  -- Rule 3: the copy of a winning claim wins.
  if record.state ~= RUNNING then
    return refused(record, stored)
  elseif lease_alive(record) then
    return repeated(record, stored)
  end

  -- The run has not begun: its owner has not learned yet that it won (rule 11).
  record.alive = math.max(record.alive, after(alive))
  revive(record, lease)

  return keep(record, unknown_retention)
end

local guaranteed = record.flags % 4

local function may_take_over()
  return stricter(guaranteed, guarantee) ~= AT_MOST_ONCE
    and (max_attempts == 0 or record.attempts < max_attempts)
    and now - record.first <= math.min(retention, record.retention) -- rule 8
end

local may_start = record.state == RELEASED
  or record.state == RUNNING and not lease_alive(record) and may_take_over()

if record.fence ~= fence or not may_start then
  return refused(record, stored)
end

if record.state == RUNNING then
  record.attempts = math.min(record.attempts + 1, MOST)
  record.flags = with(record, DOUBTFUL, true)
else
  record.attempts = 1
end

if record.first == 0 then
  record.first = now
end

record.flags = with(record, RESOLVED, false)
record.flags = record.flags - guaranteed + stricter(guaranteed, guarantee)
record.state, record.token, record.last, record.outcome = RUNNING, token, now, note
record.fence = math.min(record.fence + 1, MOST) -- rule 6
record.mark = after(lease)
record.alive = math.max(record.alive, after(alive))
record.retention = retention -- rule 12

return keep(record, unknown_retention)
