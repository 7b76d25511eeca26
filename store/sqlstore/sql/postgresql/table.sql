-- The schema and the persistence of a table, or of a partition that is UNLOGGED, and how many tables have its name. Argument: its quoted
-- name.
SELECT n.nspname::text,
  CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_partition_tree(c.oid) AS t JOIN pg_catalog.pg_class AS p ON p.oid = t.relid
    WHERE p.relpersistence = 'u') THEN 'u' ELSE c.relpersistence::text END,
  (SELECT count(*) FROM pg_catalog.pg_class AS o WHERE o.relname = c.relname AND o.relkind IN ('r', 'p'))
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1::text)
