-- Completes the record that this transaction has claimed, and returns its time. Arguments: key, token, outcome, its seal, the checksum
-- without the revision, the end and the expiry, the retention. A first claim left the record as completed, another claim as running.
UPDATE {table} AS r SET
  state = 4, revision = r.revision + 1, outcome = $3::bytea, outcome_seal = $4::bigint,
  ended_at = floor(date_part('epoch', statement_timestamp()) * 1000)::bigint,
  expires_at = floor(date_part('epoch', statement_timestamp()) * 1000)::bigint + $6::bigint,
  sweep_at = greatest(r.sweep_at, floor(date_part('epoch', statement_timestamp()) * 1000)::bigint + $6::bigint),
  checksum = $5::bigint + 41 * (r.revision + 1) + 8 * floor(date_part('epoch', statement_timestamp()) * 1000)::bigint
    + 5 * $6::bigint,
  retention = $6::bigint
WHERE r.id = $1::bytea AND r.token = $2::bytea AND r.state IN (1, 4)
RETURNING r.ended_at
