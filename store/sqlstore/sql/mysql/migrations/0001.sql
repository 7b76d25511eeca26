-- One row is one record.
CREATE TABLE IF NOT EXISTS {table} (
  id BINARY(32) NOT NULL PRIMARY KEY, -- hash of scope, method and key
  revision BIGINT NOT NULL, -- counts the changes of the row
  fence BIGINT NOT NULL, -- orders the runs of the key
  attempts BIGINT NOT NULL, -- runs started since the record was made or released
  first_start BIGINT NOT NULL, -- times are milliseconds since 1970, on the clock of this database, and 0 for none
  last_start BIGINT NOT NULL,
  ended_at BIGINT NOT NULL, -- completed, released or held
  expires_at BIGINT NOT NULL, -- end of the retention
  lease_until BIGINT NOT NULL, -- means nothing unless running
  owner_until BIGINT NOT NULL, -- the latest time at which the owner may be alive
  retention BIGINT NOT NULL, -- milliseconds that the record is kept once it is settled
  seal BIGINT NOT NULL, -- CRC-32C of key, scheme, fingerprint, method and readable key
  outcome_seal BIGINT NOT NULL, -- CRC-32C of key, state, token and outcome
  checksum BIGINT NOT NULL, -- seal and weighted sum of the other numbers
  format SMALLINT NOT NULL, -- of this row
  state SMALLINT NOT NULL, -- 1 running, 2 unknown, 3 released, 4 completed
  guarantee SMALLINT NOT NULL, -- 1 at most once, 2 at least once, 3 exactly once
  flags SMALLINT NOT NULL, -- 1 doubtful, 2 resolved
  scheme INT NOT NULL, -- of the fingerprint
  token VARBINARY(255) NOT NULL, -- of the owner
  fingerprint VARBINARY(255) NOT NULL, -- of the request
  method MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- printable ASCII, all else as %XX
  readable_key MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- as method
  outcome LONGBLOB NOT NULL, -- opaque
  INDEX {expiring} (state, expires_at, owner_until) -- for what is not settled as well
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
