-- Claims as claim.sql, in a transaction that may wait for another one, no longer than the bound. If it made a record, lock_timeout is as
-- before, otherwise the bound applies until unbound.sql. The record is written as completed and damaged, so that its completion changes no
-- index. Nobody sees it before complete_within.sql repairs it. Arguments: those of claim.sql, the bound, and the time in milliseconds
-- after which the record may be swept.
WITH made AS (
  INSERT INTO {table} (
    id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
    seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
    readable_key, outcome, sweep_at
  )
  SELECT
    $1::bytea, 1, 1, 1, c.now, c.now, 0, 0, c.now + $11::bigint, c.now + $12::bigint, $13::bigint,
    $8::bigint, $9::bigint, -1 - $10::bigint, 1, 4, $3::smallint, 0, $4::integer,
    $2::bytea, $5::bytea, $6::text, $7::text, ''::bytea, c.now + $15::bigint
  FROM (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint AS now OFFSET 0) AS c
  WHERE CASE WHEN set_config('onlyonce.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL
    THEN set_config('lock_timeout', $14::text, true) END IS NOT NULL
  ON CONFLICT (id) DO NOTHING
  RETURNING first_start, set_config('lock_timeout', current_setting('onlyonce.lock_timeout'), true)
)
SELECT
  m.first_start, floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
  CASE WHEN r.id IS NOT NULL THEN json_build_array({columns}, encode(r.outcome, 'base64'))::text END
FROM (SELECT 1 AS one) AS o LEFT JOIN made AS m ON true LEFT JOIN {table} AS r ON r.id = $1::bytea
