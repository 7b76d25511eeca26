-- The schema has this version now, unless somebody has gone further. Argument: the version.
UPDATE {versions} SET version = GREATEST(version, ?) WHERE id = 1
