-- The version of the schema, in one row.
CREATE TABLE IF NOT EXISTS {versions} (
  id INTEGER NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL
);

INSERT INTO {versions} (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;
