-- The version of the schema, in one row.
CREATE TABLE IF NOT EXISTS {versions} (
  id integer NOT NULL PRIMARY KEY,
  version integer NOT NULL
);

INSERT INTO {versions} (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;
