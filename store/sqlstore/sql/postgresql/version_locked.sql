-- The version of the schema; nobody else migrates until the transaction ends.
SELECT version FROM {versions} WHERE id = 1 FOR UPDATE
