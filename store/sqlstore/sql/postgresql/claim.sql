-- Makes a first claim. Returns the time of the claim, the clock, and the record that is in its way. Both time and record are missing if
-- another record appeared after this statement began. A record is one array, because columns of an answer are expensive.
-- Arguments: key, token, guarantee, scheme, fingerprint, method, readable key, seal, outcome seal, checksum without the times; lease, the
-- longest life of the owner and the retention in milliseconds; the note.
WITH made AS (
  INSERT INTO {table} (
    id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
    seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
    readable_key, outcome, sweep_at
  )
  SELECT
    $1::bytea, 1, 1, 1, c.now, c.now, 0, 0, c.now + $11::bigint, c.now + $12::bigint, $13::bigint,
    $8::bigint, $9::bigint, $10::bigint + 21 * c.now + 7 * $11::bigint + 11 * $12::bigint, 1, 1, $3::smallint, 0, $4::integer,
    $2::bytea, $5::bytea, $6::text, $7::text, $14::bytea, 0
  FROM (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint AS now OFFSET 0) AS c
  ON CONFLICT (id) DO NOTHING
  RETURNING first_start
)
SELECT
  m.first_start, floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
  CASE WHEN r.id IS NOT NULL THEN json_build_array({columns}, encode(r.outcome, 'base64'))::text END
FROM (SELECT 1 AS one) AS o LEFT JOIN made AS m ON true LEFT JOIN {table} AS r ON r.id = $1::bytea
