-- Resolve: somebody has found out what became of a run, and names the owner that the finding is about by its token and its fence.
local token, fence, state, as_of = struct.unpack('>c16I4BI6', ARGV[1])
local outcome = ARGV[2]

if not record or record.token ~= token or record.fence ~= fence then
  return refused(record, stored)
elseif has(record, RESOLVED) and record.state == state and (state ~= COMPLETED or record.outcome == outcome) then
  return repeated(record, stored)
elseif record.state ~= UNKNOWN and (record.state ~= RUNNING or lease_alive(record)) then
  return refused(record, stored)
end

if state == COMPLETED then
  record.flags = with(record, RESOLVED, true)

  return settle(record, COMPLETED, outcome)
elseif state == RELEASED then
  -- Rule 11: "nothing happened" is refused while the owner may be alive, and where it was not yet dead at the look that
  -- the finding began with.
  if now < record.alive or as_of ~= 0 and as_of < record.alive then
    return refused(record, stored)
  end

  record.flags = with(record, RESOLVED, true)
  record.flags = with(record, DOUBTFUL, false)

  return settle(record, RELEASED, outcome)
end

return refused(record, stored)
