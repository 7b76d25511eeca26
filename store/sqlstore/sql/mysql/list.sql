-- Reads a page of unsettled records without a valid lease, in the order of their keys. Argument: the last key of the page before.
SELECT
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000,
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.retention, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, r.outcome
FROM {table} AS r
WHERE r.state NOT IN (3, 4) AND r.id > ?
  AND (r.state <> 1 OR r.lease_until <= TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)
ORDER BY r.id LIMIT 100
