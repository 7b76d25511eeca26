-- Renew: extend the lease of the owner of a running record (rule 2).
local token, lease, unknown_retention = struct.unpack('>c16I6I6', ARGV[1])

if not record or record.state ~= RUNNING or record.token ~= token then
  return refused(record, stored)
end

if lease_alive(record) then
  record.mark = math.max(record.mark, after(lease))
else
  revive(record, lease)
end

return keep(record, unknown_retention) -- a run may last as long as it is renewed (rule 7)
