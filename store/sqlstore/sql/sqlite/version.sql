-- Reads the version of the schema.
SELECT version FROM {versions} WHERE id = 1
