-- The version of the schema, in one row.
CREATE TABLE IF NOT EXISTS {versions} (
  id INT NOT NULL PRIMARY KEY,
  version INT NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO {versions} (id, version) VALUES (1, 0);
