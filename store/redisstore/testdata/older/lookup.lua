-- Lookup: the record as it is.
return refused(record, stored)
