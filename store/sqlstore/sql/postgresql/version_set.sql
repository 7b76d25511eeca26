-- The schema has this version now, unless somebody has gone further. Argument: the version.
UPDATE {versions} SET version = greatest(version, $1) WHERE id = 1
