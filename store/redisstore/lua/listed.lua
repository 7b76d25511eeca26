-- Listed: return the record if it is unsettled, otherwise nothing.
if record and record.state ~= RUNNING and record.state ~= UNKNOWN then
  return refused(nil, nil)
end

return refused(record, stored)
