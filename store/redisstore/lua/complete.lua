-- Complete: the owner's outcome. A lease that has ended does not matter: nobody has taken over. The owner settles an unknown
-- record as well (rule 10).
local token, outcome = ARGV[1], ARGV[2]

if not record or record.token ~= token then
  return refused(record, stored)
elseif record.state == RUNNING or record.state == UNKNOWN then
  return settle(record, COMPLETED, outcome)
elseif record.state == COMPLETED and record.outcome == outcome then
  return repeated(record, stored)
end

return refused(record, stored)
