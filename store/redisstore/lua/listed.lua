-- Listed: the record as it is if it is not settled, and nothing otherwise.
if record and record.state ~= RUNNING and record.state ~= UNKNOWN then
  return refused(nil, nil)
end

return refused(record, stored)
