-- Reads a page of records that run under a lease, in the order of their keys. Argument: the last key of the page before. The index has
-- the unsettled records.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint, json_build_array({columns}, encode(r.outcome, 'base64'))::text
FROM {table} AS r
WHERE r.state NOT IN (3, 4) AND r.id > $1
  AND r.state = 1 AND r.lease_until > (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint)
ORDER BY r.id LIMIT 100
