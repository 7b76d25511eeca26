-- Deletes some records whose retention is over, and none that is damaged. Those that somebody else works on are left out.
-- Argument: how many.
DELETE FROM {table} WHERE id = ANY (ARRAY(
  SELECT id FROM {table}
  WHERE sweep_at > 0 AND sweep_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)
    AND expires_at > 0 AND expires_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)
    AND state IN (3, 4) AND format = 1
    AND checksum = seal::numeric + 1009 * state::numeric + 1013 * guarantee::numeric + 1019 * flags::numeric + 31 * fence::numeric
      + 37 * attempts::numeric + 41 * revision::numeric + first_start::numeric + 2 * last_start::numeric + 3 * ended_at::numeric
      + 5 * expires_at::numeric + 7 * lease_until::numeric + 11 * owner_until::numeric + 13 * retention::numeric
  ORDER BY sweep_at LIMIT $1
  FOR UPDATE SKIP LOCKED
))
