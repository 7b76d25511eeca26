-- The database and the engine of a table, and how many tables are meant. Arguments: database, or an empty text for the current one; table.
SELECT table_schema, engine, 1 FROM information_schema.tables
WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
