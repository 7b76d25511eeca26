-- Writes a new record if there is none and its bytes arrived unchanged. Arguments: the columns in this order; bytes of the record, and
-- their CRC-32. The columns are not in a derived table, because MySQL cuts a value there after 65,535 bytes.
INSERT IGNORE INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome
)
SELECT
  -- A bare parameter would be a text here, and its invalid bytes would become question marks.
  CAST(? AS BINARY), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS BINARY), CAST(? AS BINARY), ?,
  ?, CAST(? AS BINARY)
FROM (SELECT CAST(? AS BINARY) AS bytes) AS sent
WHERE CRC32(sent.bytes) = ?
