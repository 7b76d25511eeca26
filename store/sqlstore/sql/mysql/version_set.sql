-- Sets the version of the schema, unless it is already higher. Argument: the version.
UPDATE {versions} SET version = GREATEST(version, ?) WHERE id = 1
