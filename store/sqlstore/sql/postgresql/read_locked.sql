-- As read, and nobody else changes the record until the transaction ends; the clock is read after any wait for it.
-- Argument: key.
SELECT
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, r.outcome
FROM (SELECT 1 AS one) AS o LEFT JOIN (SELECT * FROM {table} WHERE id = $1 FOR UPDATE) AS r ON true
