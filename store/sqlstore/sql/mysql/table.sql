-- Reads the database and the engine of a table, and the number of matching tables. Arguments: the database, or an empty text for the
-- current one; the table.
SELECT table_schema, engine, 1 FROM information_schema.tables
WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
