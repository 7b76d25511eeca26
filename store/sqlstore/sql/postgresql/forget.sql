-- Deletes a record if it has not changed since it was read. Arguments: the key; the revision and the token that were read.
DELETE FROM {table} WHERE id = $1 AND revision = $2 AND token = $3
