-- As claim, in a transaction that may have to wait for another one: not for longer than lock_timeout, which is as it was before
-- when the statement has ended. Arguments: those of claim, and the bound.
WITH before AS MATERIALIZED (
  SELECT current_setting('lock_timeout') AS bound
), bounded AS MATERIALIZED (
  SELECT b.bound AS before, set_config('lock_timeout', $13::text, true) AS bound FROM before AS b
), clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, b.before
  FROM bounded AS b WHERE b.bound IS NOT NULL
), made AS (
  INSERT INTO {table} (
    id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until,
    seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
    readable_key, outcome
  )
  SELECT
    $1::bytea, 1, 1, 1, c.now, c.now, 0, 0, c.now + $11::bigint, c.now + $12::bigint,
    $8::bigint, $9::bigint, $10::bigint + 21 * c.now + 7 * $11::bigint + 11 * $12::bigint, 1, 1, $3::smallint, 0, $4::integer,
    $2::bytea, $5::bytea, $6::text, $7::text, ''::bytea
  FROM clock AS c
  ON CONFLICT (id) DO NOTHING
  RETURNING id
)
SELECT
  (SELECT count(*) FROM made), c.now,
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, r.outcome
FROM clock AS c LEFT JOIN {table} AS r ON r.id = $1::bytea
WHERE set_config('lock_timeout', CASE WHEN (SELECT count(*) FROM made) >= 0 THEN c.before END, true) IS NOT NULL
