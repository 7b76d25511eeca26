-- The engine of the table. Arguments: database, or an empty text for the current one; table.
SELECT engine FROM information_schema.tables
WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
