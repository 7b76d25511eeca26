-- Writes a record if it has not changed since it was read. Arguments: the columns in this order; the key; the revision and the token
-- that were read.
UPDATE {table} SET
  revision = ?, fence = ?, attempts = ?, first_start = ?, last_start = ?, ended_at = ?, expires_at = ?,
  lease_until = ?, owner_until = ?, retention = ?, seal = ?, outcome_seal = ?, checksum = ?, format = ?, state = ?, guarantee
  = ?, flags = ?, scheme = ?, token = ?, fingerprint = ?, method = ?, readable_key = ?, outcome = ?
WHERE id = ? AND revision = ? AND token = ?
