-- Complete: the owner's outcome. A lease that has ended does not matter: no other run has taken over. The owner settles an unknown
-- record as well (rule 10). The token may be followed by a retention that replaces the record's (rule 12).
local token, outcome = string.sub(ARGV[1], 1, 16), ARGV[2]

if not record or record.token ~= token then
  return refused(record, stored)
elseif record.state == RUNNING or record.state == UNKNOWN then
  if #ARGV[1] > 16 then
    record.retention = struct.unpack('>I6', ARGV[1], 17)
  end

  return settle(record, COMPLETED, outcome)
elseif record.state == COMPLETED and record.outcome == outcome then
  return repeated(record, stored)
end

return refused(record, stored)
