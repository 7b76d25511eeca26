-- Writes a new record, unless there is one, and unless its bytes have not arrived as they were sent. Arguments: the columns in this order,
-- and the CRC-32 of key, token and fingerprint.
INSERT IGNORE INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome
)
SELECT
  c.id, c.revision, c.fence, c.attempts, c.first_start, c.last_start, c.ended_at, c.expires_at, c.lease_until,
  c.owner_until, c.retention, c.seal, c.outcome_seal, c.checksum, c.format, c.state, c.guarantee, c.flags, c.scheme,
  c.token, c.fingerprint, c.method, c.readable_key, c.outcome
FROM (
  SELECT
    -- A bare parameter would be a text here, and bytes that are none would become question marks.
    CAST(? AS BINARY) AS id, ? AS revision, ? AS fence, ? AS attempts, ? AS first_start, ? AS last_start, ? AS ended_at,
    ? AS expires_at, ? AS lease_until, ? AS owner_until, ? AS retention, ? AS seal, ? AS outcome_seal, ? AS checksum,
    ? AS format, ? AS state, ? AS guarantee, ? AS flags, ? AS scheme, CAST(? AS BINARY) AS token,
    CAST(? AS BINARY) AS fingerprint, ? AS method, ? AS readable_key, CAST(? AS BINARY) AS outcome
) AS c
WHERE CRC32(CONCAT(c.id, c.token, c.fingerprint)) = ?
