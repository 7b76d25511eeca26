-- Resolve: settle a record by the finding about a run. Token and fence identify the run.
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
  -- Rule 11: "nothing happened" is refused if the owner may be alive, or may have been alive when the record was read for the finding.
  if now < record.alive or as_of ~= 0 and as_of < record.alive then
    return refused(record, stored)
  end

  record.flags = with(record, RESOLVED, true)
  record.flags = with(record, DOUBTFUL, false)

  return settle(record, RELEASED, outcome)
end

return refused(record, stored)
