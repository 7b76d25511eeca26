-- Reads as read.sql, and locks the record until the transaction ends. It returns no row if there is no record, because a join would also
-- lock the records around it. The clock is read at the start of the statement, before any wait for the record. Argument: the key.
SELECT
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000,
  r.id, r.revision, r.fence, r.attempts, r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until,
  r.owner_until, r.retention, r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
  r.token, r.fingerprint, r.method, r.readable_key, r.outcome
FROM {table} AS r WHERE r.id = ? FOR UPDATE
