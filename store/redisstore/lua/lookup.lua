-- Lookup: return the record.
return refused(record, stored)
