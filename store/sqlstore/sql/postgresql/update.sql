-- Writes a record if it is still the one that was read. Arguments: the columns in this order; key, and the revision and the
-- token that were read.
UPDATE {table} SET
  revision = $1, fence = $2, attempts = $3, first_start = $4, last_start = $5, ended_at = $6, expires_at = $7,
  lease_until = $8, owner_until = $9, seal = $10, outcome_seal = $11, checksum = $12, format = $13, state =
  $14, guarantee = $15, flags = $16, scheme = $17, token = $18, fingerprint = $19, method = $20, readable_key
  = $21, outcome = $22, sweep_at = CASE WHEN $14::smallint IN (3, 4) THEN $7::bigint ELSE 0 END
WHERE id = $23 AND revision = $24 AND token = $25
