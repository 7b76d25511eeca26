-- Writes a new record if there is none. Arguments: the columns in this order.
INSERT INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome, sweep_at
) VALUES (
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
  CASE WHEN $16::smallint IN (3, 4) THEN $8::bigint ELSE 0 END
)
ON CONFLICT (id) DO NOTHING
