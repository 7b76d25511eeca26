-- Sets the version of the schema, unless it is already higher. Argument: the version.
UPDATE {versions} SET version = max(version, ?1) WHERE id = 1
