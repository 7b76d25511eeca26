-- Makes a first claim in a transaction. It locks the record, its own or one that was there before. It writes nothing if the bytes did not
-- arrive unchanged. Arguments: method and readable key, which a derived table would cut; key, token, guarantee, scheme, fingerprint, seal,
-- outcome seal, checksum without the times; lease, the longest life of the owner and the retention in milliseconds; bytes of the record,
-- and their CRC-32.
INSERT INTO {table} (
  method, readable_key, id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until,
  owner_until, retention, seal, outcome_seal, checksum, format, state, guarantee, flags, scheme,
  token, fingerprint, outcome
)
SELECT
  ?, ?, c.id, 1, 1, 1, c.now, c.now, 0, 0, c.now + c.lease,
  c.now + c.life, c.retention, c.seal, c.outcome_seal, c.checksum + 21 * c.now + 7 * c.lease + 11 * c.life, 1, 1, c.guarantee, 0, c.scheme,
  c.token, c.fingerprint, ''
FROM (
  SELECT
    TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS now,
    -- A bare parameter would be a text here, and its invalid bytes would become question marks.
    CAST(? AS BINARY) AS id, CAST(? AS BINARY) AS token, ? AS guarantee, ? AS scheme, CAST(? AS BINARY) AS fingerprint,
    ? AS seal, ? AS outcome_seal, ? AS checksum, ? AS lease, ? AS life,
    ? AS retention, CAST(? AS BINARY) AS bytes
) AS c
WHERE CRC32(c.bytes) = ?
ON DUPLICATE KEY UPDATE flags = {table}.flags
