-- Reads the clock, and the record if there is one. Argument: the key.
SELECT
  CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER),
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.retention, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, r.outcome
FROM (SELECT 1 AS one) AS o LEFT JOIN {table} AS r ON r.id = ?1
