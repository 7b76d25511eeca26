-- Completes a running record for its owner, and returns it without the outcome. Arguments: key, token, outcome, its seal, the seal of the
-- note, the retention that replaces the record's, or 0, the length of the note in bytes. All times in a statement are the same.
-- A row whose numbers would overflow is damaged, and other statements report it.
UPDATE {table} SET
  state = 4, revision = revision + 1, outcome = ?3, outcome_seal = ?4,
  ended_at = CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER),
  expires_at = CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) + coalesce(nullif(?6, 0), retention),
  checksum = checksum + 3 * 1009 + 41 + 8 * CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)
    + 5 * coalesce(nullif(?6, 0), retention) + 13 * (coalesce(nullif(?6, 0), retention) - retention),
  retention = coalesce(nullif(?6, 0), retention)
WHERE id = ?1 AND token = ?2 AND state = 1 AND format = 1 AND ended_at = 0 AND expires_at = 0
  AND outcome_seal = ?5 AND length(outcome) = ?7
  AND retention BETWEEN 0 AND 1125899906842624
  AND revision BETWEEN 0 AND 1152921504606846976 AND checksum BETWEEN 0 AND 1152921504606846976
RETURNING
  ended_at,
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, x''
