-- Writes a new record, unless there is one, and unless its bytes have not arrived as they were sent. Arguments: the columns in this order;
-- bytes of the record, and their CRC-32. MySQL cuts off what a derived table has more than 65,535 bytes of, so the columns are in none.
INSERT IGNORE INTO {table} (
  id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention,
  seal, outcome_seal, checksum, format, state, guarantee, flags, scheme, token, fingerprint, method,
  readable_key, outcome
)
SELECT
  -- A bare parameter would be a text here, and bytes that are none would become question marks.
  CAST(? AS BINARY), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS BINARY), CAST(? AS BINARY), ?,
  ?, CAST(? AS BINARY)
FROM (SELECT CAST(? AS BINARY) AS bytes) AS sent
WHERE CRC32(sent.bytes) = ?
