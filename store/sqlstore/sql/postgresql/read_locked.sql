-- Reads as read.sql, and locks the record until the transaction ends. The clock is read after any wait for the record. Argument: the key.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
  CASE WHEN r.id IS NOT NULL THEN json_build_array({columns}, encode(r.outcome, 'base64'))::text END
FROM (SELECT 1 AS one) AS o LEFT JOIN (SELECT * FROM {table} WHERE id = $1 FOR UPDATE) AS r ON true
