-- Records a run that was rolled back: claims and completes at once if there is no record. It waits for another transaction with the key,
-- no longer than the bound. Arguments: key, token, guarantee, scheme, fingerprint, method, readable key, seal, outcome seal, checksum
-- without the times; lease, the longest life of the owner and the retention in milliseconds; the bound; outcome.
INSERT INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome, sweep_at
)
SELECT
  $1::bytea, 1, 1, 1, c.now, c.now, c.now, c.now + $13::bigint, c.now + $11::bigint, c.now + $12::bigint, $13::bigint,
  $8::bigint, $9::bigint, $10::bigint + 29 * c.now + 5 * $13::bigint + 7 * $11::bigint + 11 * $12::bigint, 1, 4, $3::smallint, 0, $4::integer,
  $2::bytea, $5::bytea, $6::text, $7::text, $15::bytea, c.now + $13::bigint
FROM (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint AS now OFFSET 0) AS c
WHERE set_config('lock_timeout', $14::text, true) IS NOT NULL
ON CONFLICT (id) DO NOTHING
RETURNING first_start
