-- Deletes some expired records, and no damaged ones. It skips records that another transaction has locked. Argument: the most records to
-- delete.
-- It works with sql_safe_updates: the first comment in the statement is for MariaDB, the second for MySQL. The order of the join is fixed,
-- because MariaDB would begin with a small table, lock all its records, and wait for locked ones.
/*M!100601 SET STATEMENT sql_safe_updates=0 FOR */ DELETE /*+ SET_VAR(sql_safe_updates=0) */ r FROM (
  SELECT id FROM {table}
  WHERE state IN (3, 4) AND format = 1 AND expires_at > 0
    AND expires_at <= TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000
    AND checksum = CAST(seal AS DECIMAL(40)) + 1009 * CAST(state AS DECIMAL(40)) + 1013 * CAST(guarantee AS DECIMAL(40))
      + 1019 * CAST(flags AS DECIMAL(40)) + 31 * CAST(fence AS DECIMAL(40)) + 37 * CAST(attempts AS DECIMAL(40))
      + 41 * CAST(revision AS DECIMAL(40)) + CAST(first_start AS DECIMAL(40)) + 2 * CAST(last_start AS DECIMAL(40))
      + 3 * CAST(ended_at AS DECIMAL(40)) + 5 * CAST(expires_at AS DECIMAL(40)) + 7 * CAST(lease_until AS DECIMAL(40))
      + 11 * CAST(owner_until AS DECIMAL(40)) + 13 * CAST(retention AS DECIMAL(40))
  LIMIT ? FOR UPDATE SKIP LOCKED
) AS due STRAIGHT_JOIN {table} AS r ON r.id = due.id
