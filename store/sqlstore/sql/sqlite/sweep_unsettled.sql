-- Deletes some unsettled records whose last write is long ago and whose owners cannot be alive, and no damaged ones. Arguments: the time
-- that must have passed, in milliseconds; the most records to delete.
DELETE FROM {table} WHERE id IN (
  SELECT id FROM {table}
  WHERE state NOT IN (3, 4) AND state IN (1, 2) AND format = 1 AND expires_at = 0
    AND owner_until <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) - ?1
    AND max(lease_until, ended_at) <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) - ?1
    AND checksum = seal + 1009 * state + 1013 * guarantee + 1019 * flags + 31 * fence + 37 * attempts + 41 * revision
      + first_start + 2 * last_start + 3 * ended_at + 5 * expires_at + 7 * lease_until + 11 * owner_until + 13 * retention
  ORDER BY owner_until LIMIT ?2
)
