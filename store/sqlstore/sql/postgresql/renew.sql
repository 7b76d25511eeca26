-- Renews a lease that has not ended for its owner, and returns the record as an array. Arguments: key, token, lease in milliseconds. A row
-- whose numbers would overflow is damaged, and other statements report it.
WITH clock AS MATERIALIZED (
  SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint AS now
)
UPDATE {table} AS r SET
  revision = r.revision + 1, lease_until = greatest(r.lease_until, c.now + $3::bigint),
  checksum = r.checksum + 41 + 7 * (greatest(r.lease_until, c.now + $3::bigint) - r.lease_until)
FROM clock AS c
WHERE r.id = $1::bytea AND r.token = $2::bytea AND r.state = 1 AND r.format = 1 AND r.lease_until > c.now
  AND r.lease_until < 1125899906842624
  AND r.revision BETWEEN 0 AND 1152921504606846976 AND r.checksum BETWEEN 0 AND 1152921504606846976
RETURNING c.now, json_build_array({columns}, encode(r.outcome, 'base64'))::text
