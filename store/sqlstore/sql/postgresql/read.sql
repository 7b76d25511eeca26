-- Reads the clock, and the record if there is one, as an array. Argument: the key.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
  CASE WHEN r.id IS NOT NULL THEN json_build_array({columns}, encode(r.outcome, 'base64'))::text END
FROM (SELECT 1 AS one) AS o LEFT JOIN {table} AS r ON r.id = $1
