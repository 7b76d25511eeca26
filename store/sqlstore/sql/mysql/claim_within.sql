-- A first claim, in a transaction. The record is locked, whether it is this one or another that has been there before. Arguments:
-- key, token, guarantee, scheme, fingerprint, method, readable key, seal, outcome seal, checksum without the times; lease,
-- the longest life of the owner and the retention in milliseconds; the CRC-32 of key, token and fingerprint, without which nothing is
-- written, because they have not arrived as they were sent.
INSERT INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome
)
SELECT
  c.id, 1, 1, 1, c.now, c.now, 0, 0, c.now + c.lease, c.now + c.life, c.retention,
  c.seal, c.outcome_seal, c.checksum + 21 * c.now + 7 * c.lease + 11 * c.life, 1, 1, c.guarantee, 0, c.scheme,
  c.token, c.fingerprint, c.method, c.readable_key, ''
FROM (
  SELECT
    TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS now,
    -- A bare parameter would be a text here, and bytes that are none would become question marks.
    CAST(? AS BINARY) AS id, CAST(? AS BINARY) AS token, ? AS guarantee, ? AS scheme, CAST(? AS BINARY) AS fingerprint,
    ? AS method, ? AS readable_key,
    ? AS seal, ? AS outcome_seal, ? AS checksum, ? AS lease, ? AS life,
    ? AS retention
) AS c
WHERE CRC32(CONCAT(c.id, c.token, c.fingerprint)) = ?
ON DUPLICATE KEY UPDATE flags = {table}.flags
