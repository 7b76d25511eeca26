-- Complete: record the owner's outcome. An ended lease does not matter, because nobody has taken over. The owner also settles an unknown
-- record (rule 10). A retention behind the token replaces the record's (rule 12).
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
