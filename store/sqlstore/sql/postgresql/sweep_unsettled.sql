-- Deletes some unsettled records whose last write is long ago and whose owners cannot be alive, and no damaged ones. It skips records that
-- another transaction has locked. It begins where the last sweep ended, as sweep does. Returns the number of deleted records, the last of
-- them, and the clock. Arguments: the time that must have passed, in milliseconds; the most records to delete; where to begin.
WITH gone AS (
  DELETE FROM {table} WHERE id = ANY (ARRAY(
    SELECT id FROM {table}
    WHERE state NOT IN (3, 4)
      AND owner_until <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) - $1::bigint AND owner_until >= $3::bigint
      AND CASE WHEN state IN (1, 2) AND format = 1 AND expires_at = 0
        AND greatest(lease_until, ended_at) <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) - $1::bigint
        AND checksum = seal::numeric + 1009 * state::numeric + 1013 * guarantee::numeric + 1019 * flags::numeric + 31 * fence::numeric
          + 37 * attempts::numeric + 41 * revision::numeric + first_start::numeric + 2 * last_start::numeric + 3 * ended_at::numeric
          + 5 * expires_at::numeric + 7 * lease_until::numeric + 11 * owner_until::numeric + 13 * retention::numeric
      THEN true ELSE false END
    ORDER BY owner_until LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
  ))
  RETURNING owner_until
)
SELECT count(*), max(owner_until), floor(date_part('epoch', statement_timestamp()) * 1000)::bigint FROM gone
