-- Completes a running record for its owner, and returns it without the outcome, as an array. Arguments: key, token, outcome, its seal, the
-- seal of the note, the retention that replaces the record's, or 0, the length of the note in bytes. All times in a statement are the same.
-- A row whose numbers would overflow is damaged, and other statements report it.
UPDATE {table} AS r SET
  state = 4, revision = r.revision + 1, outcome = $3::bytea, outcome_seal = $4::bigint,
  ended_at = floor(date_part('epoch', statement_timestamp()) * 1000)::bigint,
  expires_at = floor(date_part('epoch', statement_timestamp()) * 1000)::bigint + coalesce(nullif($6::bigint, 0), r.retention),
  sweep_at = floor(date_part('epoch', statement_timestamp()) * 1000)::bigint + coalesce(nullif($6::bigint, 0), r.retention),
  checksum = r.checksum + 3 * 1009 + 41 + 8 * floor(date_part('epoch', statement_timestamp()) * 1000)::bigint
    + 5 * coalesce(nullif($6::bigint, 0), r.retention)
    + 13 * (coalesce(nullif($6::bigint, 0), r.retention) - r.retention),
  retention = coalesce(nullif($6::bigint, 0), r.retention)
WHERE r.id = $1::bytea AND r.token = $2::bytea AND r.state = 1 AND r.format = 1 AND r.ended_at = 0 AND r.expires_at = 0
  AND r.outcome_seal = $5::bigint AND octet_length(r.outcome) = $7::bigint
  AND r.retention BETWEEN 0 AND 1125899906842624
  AND r.revision BETWEEN 0 AND 1152921504606846976 AND r.checksum BETWEEN 0 AND 1152921504606846976
RETURNING r.ended_at, json_build_array({columns}, '')::text
