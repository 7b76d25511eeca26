-- Deletes some expired records, and no damaged ones. Argument: the most records to delete.
DELETE FROM {table} WHERE id IN (
  SELECT id FROM {table}
  WHERE state IN (3, 4) AND format = 1 AND expires_at > 0
    AND expires_at <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)
    AND checksum = seal + 1009 * state + 1013 * guarantee + 1019 * flags + 31 * fence + 37 * attempts + 41 * revision
      + first_start + 2 * last_start + 3 * ended_at + 5 * expires_at + 7 * lease_until + 11 * owner_until + 13 * retention
  ORDER BY expires_at LIMIT ?1
)
