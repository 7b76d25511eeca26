-- Reads a page of unsettled records without a valid lease, in the order of their keys. Argument: the last key of the page before.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint, json_build_array({columns}, encode(r.outcome, 'base64'))::text
FROM {table} AS r
WHERE r.state NOT IN (3, 4) AND r.id > $1
  AND (r.state <> 1 OR r.lease_until <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint))
ORDER BY r.id LIMIT 100
