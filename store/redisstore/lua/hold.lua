-- Hold: make the outcome of a run unknown.
local token, unknown_retention = struct.unpack('>c16I6', ARGV[1])
local note = ARGV[2]

if not record or record.token ~= token then
  return refused(record, stored)
elseif record.state == UNKNOWN then
  return repeated(record, stored)
elseif record.state ~= RUNNING then
  return refused(record, stored)
end

record.state, record.mark, record.outcome = UNKNOWN, now, note

return keep(record, unknown_retention)
