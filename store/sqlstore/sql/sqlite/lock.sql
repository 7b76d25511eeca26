-- Takes the write lock at the beginning of a transaction. It changes nothing.
UPDATE {table} SET format = format WHERE 0
