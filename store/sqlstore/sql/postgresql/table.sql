-- The schema and the persistence of a table, and how many tables have its name. Argument: its quoted name.
SELECT n.nspname::text, c.relpersistence::text,
  (SELECT count(*) FROM pg_catalog.pg_class AS o WHERE o.relname = c.relname AND o.relkind IN ('r', 'p'))
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1::text)
