-- The completion of a running record by its owner, and the record without the outcome. Arguments: key, token, outcome, its
-- seal, retention in milliseconds, the seal of no outcome. What could not be added to is damaged, and found so elsewhere.
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
)
UPDATE {table} AS r SET
  state = 4, revision = r.revision + 1, outcome = $3::bytea, outcome_seal = $4::bigint,
  ended_at = c.now, expires_at = c.now + $5::bigint,
  checksum = r.checksum + 3 * 1009 + 41 + 3 * c.now + 5 * (c.now + $5::bigint)
FROM clock AS c
WHERE r.id = $1::bytea AND r.token = $2::bytea AND r.state = 1 AND r.format = 1 AND r.ended_at = 0 AND r.expires_at = 0
  AND r.outcome_seal = $6::bigint AND r.outcome = ''::bytea
  AND r.revision BETWEEN 0 AND 1152921504606846976 AND r.checksum BETWEEN 0 AND 1152921504606846976
RETURNING
  c.now,
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, ''::bytea
