-- Deletes some records whose retention is over, and no damaged ones. It skips records that another transaction has locked. It begins
-- where the last sweep has ended, because deleted records stay in the index as long as some transaction may see them. The CASE keeps the
-- planner from estimating that few records are left, and from reading and sorting all records that are due. Returns the number of
-- deleted records, the last of them, and the clock. Arguments: the most records to delete; where to begin.
WITH gone AS (
  DELETE FROM {table} WHERE id = ANY (ARRAY(
    SELECT id FROM {table}
    WHERE sweep_at > 0 AND sweep_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) AND sweep_at >= $2::bigint
      AND CASE WHEN expires_at > 0 AND expires_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)
        AND state IN (3, 4) AND format = 1
        AND checksum = seal::numeric + 1009 * state::numeric + 1013 * guarantee::numeric + 1019 * flags::numeric + 31 * fence::numeric
          + 37 * attempts::numeric + 41 * revision::numeric + first_start::numeric + 2 * last_start::numeric + 3 * ended_at::numeric
          + 5 * expires_at::numeric + 7 * lease_until::numeric + 11 * owner_until::numeric + 13 * retention::numeric
      THEN true ELSE false END
    ORDER BY sweep_at LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
  ))
  RETURNING sweep_at
)
SELECT count(*), max(sweep_at), floor(date_part('epoch', statement_timestamp()) * 1000)::bigint FROM gone
