-- The view for people: names of states, readable times, and damage. It leaves out the outcome, which is opaque and may be secret.
-- A time beyond the year 9999 is shown as the end of that year. A view with other columns stays as it is, because a newer build or
-- somebody else has made it.
DO $$ BEGIN
CREATE OR REPLACE VIEW {readable} AS
SELECT
  encode(id, 'hex') AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) AS alive,
  state IN (3, 4) AND expires_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR octet_length(id) <> 32 OR octet_length(token) <> 16 OR octet_length(fingerprint) <> 32
    OR checksum::numeric <> seal::numeric + 1009 * state::numeric + 1013 * guarantee::numeric + 1019 * flags::numeric + 31 * fence::numeric
      + 37 * attempts::numeric + 41 * revision::numeric + first_start::numeric + 2 * last_start::numeric + 3 * ended_at::numeric
      + 5 * expires_at::numeric + 7 * lease_until::numeric + 11 * owner_until::numeric + 13 * retention::numeric
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN to_timestamp(least(first_start, 253402300799999) / 1000.0) END AS first_start,
  CASE WHEN last_start > 0 THEN to_timestamp(least(last_start, 253402300799999) / 1000.0) END AS last_start,
  CASE WHEN lease_until > 0 THEN to_timestamp(least(lease_until, 253402300799999) / 1000.0) END AS lease_until,
  CASE WHEN owner_until > 0 THEN to_timestamp(least(owner_until, 253402300799999) / 1000.0) END AS owner_until,
  CASE WHEN ended_at > 0 THEN to_timestamp(least(ended_at, 253402300799999) / 1000.0) END AS ended_at,
  CASE WHEN expires_at > 0 THEN to_timestamp(least(expires_at, 253402300799999) / 1000.0) END AS expires_at,
  retention / 1000 AS retention_seconds, octet_length(outcome) AS outcome_bytes
FROM {indexed}; EXCEPTION WHEN invalid_table_definition THEN NULL; END $$;
