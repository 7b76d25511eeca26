-- Deletes a record if it is still the one that was read. Arguments: key, and the revision and the token that were read.
DELETE FROM {table} WHERE id = $1 AND revision = $2 AND token = $3
