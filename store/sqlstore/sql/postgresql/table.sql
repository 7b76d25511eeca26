-- Reads the schema and the persistence of a table, or of an UNLOGGED partition, and how many tables have its name. Argument: the quoted
-- name.
WITH RECURSIVE parts AS (
  SELECT to_regclass($1::text)::oid AS id
  UNION ALL
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN parts ON i.inhparent = parts.id
)
SELECT n.nspname::text,
  CASE WHEN EXISTS (SELECT 1 FROM parts JOIN pg_catalog.pg_class AS p ON p.oid = parts.id WHERE p.relpersistence = 'u') THEN 'u'
    ELSE c.relpersistence::text END,
  (SELECT count(*) FROM pg_catalog.pg_class AS o WHERE o.relname = c.relname AND o.relkind IN ('r', 'p'))
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1::text)
