-- As read, and nobody else changes the record until the transaction ends; the clock is read after any wait for it.
-- Argument: key.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
  CASE WHEN r.id IS NOT NULL THEN json_build_array(
    encode(r.id, 'base64'), r.revision, r.fence, r.attempts,
    r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until, r.owner_until,
    r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
    encode(r.token, 'base64'), encode(r.fingerprint, 'base64'), encode(convert_to(r.method, 'UTF8'), 'base64'),
    encode(convert_to(r.readable_key, 'UTF8'), 'base64'), encode(r.outcome, 'base64')
  )::text END
FROM (SELECT 1 AS one) AS o LEFT JOIN (SELECT * FROM {table} WHERE id = $1 FOR UPDATE) AS r ON true
