-- Reads the version of the schema. No other process migrates until the transaction ends.
SELECT version FROM {versions} WHERE id = 1 FOR UPDATE
