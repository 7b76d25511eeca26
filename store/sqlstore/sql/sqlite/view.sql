-- The view for people: names of states, readable times, and damage. It leaves out the outcome, which is opaque and may be secret.
-- Times are UTC. A time beyond the year 9999 is shown as the end of that year.
CREATE VIEW IF NOT EXISTS {readable} AS
SELECT
  lower(hex(id)) AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS alive,
  state IN (3, 4) AND expires_at <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR length(id) <> 32 OR length(token) <> 16 OR length(fingerprint) <> 32
    OR checksum <> seal + 1009 * state + 1013 * guarantee + 1019 * flags + 31 * fence
      + 37 * attempts + 41 * revision + first_start + 2 * last_start + 3 * ended_at
      + 5 * expires_at + 7 * lease_until + 11 * owner_until + 13 * retention
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(first_start, 253402300799999) / 1000.0, 'unixepoch') END AS first_start,
  CASE WHEN last_start > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(last_start, 253402300799999) / 1000.0, 'unixepoch') END AS last_start,
  CASE WHEN lease_until > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(lease_until, 253402300799999) / 1000.0, 'unixepoch') END AS lease_until,
  CASE WHEN owner_until > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(owner_until, 253402300799999) / 1000.0, 'unixepoch') END AS owner_until,
  CASE WHEN ended_at > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(ended_at, 253402300799999) / 1000.0, 'unixepoch') END AS ended_at,
  CASE WHEN expires_at > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(expires_at, 253402300799999) / 1000.0, 'unixepoch') END AS expires_at,
  retention / 1000 AS retention_seconds, length(outcome) AS outcome_bytes
FROM {indexed};
