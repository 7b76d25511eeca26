-- Writes a record if it has not changed since it was read. Arguments: the columns in this order; the key; the revision and the token
-- that were read.
UPDATE {table} SET
  revision = ?1, fence = ?2, attempts = ?3, first_start = ?4, last_start = ?5, ended_at = ?6, expires_at = ?7,
  lease_until = ?8, owner_until = ?9, retention = ?10, seal = ?11, outcome_seal = ?12, checksum = ?13, format = ?14, state =
  ?15, guarantee = ?16, flags = ?17, scheme = ?18, token = ?19, fingerprint = ?20, method = ?21, readable_key
  = ?22, outcome = ?23
WHERE id = ?24 AND revision = ?25 AND token = ?26
