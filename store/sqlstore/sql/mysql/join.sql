-- Completes a running record for its owner, in a transaction of the handler. Arguments: outcome, its seal; three times the retention that
-- replaces the record's, or 0; key, token, the seal of the note, its length in bytes. An assignment sees the assignments before it, so the
-- retention is the last.
UPDATE {table} SET
  state = 4, revision = revision + 1, outcome = ?, outcome_seal = ?,
  ended_at = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000,
  expires_at = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 + coalesce(nullif(?, 0), retention),
  checksum = checksum + 3 * 1009 + 41 + 8 * (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)
    + (5 + 13) * coalesce(nullif(?, 0), retention) - 13 * retention,
  retention = coalesce(nullif(?, 0), retention)
WHERE id = ? AND token = ? AND state = 1 AND format = 1 AND ended_at = 0 AND expires_at = 0
  AND outcome_seal = ? AND LENGTH(outcome) = ?
  AND retention BETWEEN 0 AND 1125899906842624
  AND revision BETWEEN 0 AND 1152921504606846976 AND checksum BETWEEN 0 AND 1152921504606846976
