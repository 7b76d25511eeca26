-- The view for people: names of states, readable times, and damage. It leaves out the outcome, which is opaque and may be secret.
-- Times are UTC. A time beyond the year 9999 is shown as the end of that year.
CREATE OR REPLACE VIEW {readable} AS
SELECT
  LOWER(HEX(id)) AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS alive,
  state IN (3, 4) AND expires_at <= TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR LENGTH(id) <> 32 OR LENGTH(token) <> 16 OR LENGTH(fingerprint) <> 32
    OR CAST(checksum AS DECIMAL(40)) <> CAST(seal AS DECIMAL(40)) + 1009 * CAST(state AS DECIMAL(40)) + 1013 * CAST(guarantee AS DECIMAL(40)) + 1019 * CAST(flags AS DECIMAL(40)) + 31 * CAST(fence AS DECIMAL(40))
      + 37 * CAST(attempts AS DECIMAL(40)) + 41 * CAST(revision AS DECIMAL(40)) + CAST(first_start AS DECIMAL(40)) + 2 * CAST(last_start AS DECIMAL(40)) + 3 * CAST(ended_at AS DECIMAL(40))
      + 5 * CAST(expires_at AS DECIMAL(40)) + 7 * CAST(lease_until AS DECIMAL(40)) + 11 * CAST(owner_until AS DECIMAL(40)) + 13 * CAST(retention AS DECIMAL(40))
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(first_start, 253402300799999) * 1000 MICROSECOND END AS first_start,
  CASE WHEN last_start > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(last_start, 253402300799999) * 1000 MICROSECOND END AS last_start,
  CASE WHEN lease_until > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(lease_until, 253402300799999) * 1000 MICROSECOND END AS lease_until,
  CASE WHEN owner_until > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(owner_until, 253402300799999) * 1000 MICROSECOND END AS owner_until,
  CASE WHEN ended_at > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(ended_at, 253402300799999) * 1000 MICROSECOND END AS ended_at,
  CASE WHEN expires_at > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(expires_at, 253402300799999) * 1000 MICROSECOND END AS expires_at,
  retention DIV 1000 AS retention_seconds, LENGTH(outcome) AS outcome_bytes
FROM {indexed};
