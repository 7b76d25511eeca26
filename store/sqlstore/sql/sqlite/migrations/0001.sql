-- One row is one record.
CREATE TABLE IF NOT EXISTS {table} (
  id BLOB NOT NULL PRIMARY KEY, -- hash of scope, method and key
  revision INTEGER NOT NULL, -- counts the changes of the row
  fence INTEGER NOT NULL, -- orders the runs of the key
  attempts INTEGER NOT NULL, -- runs started since the record was made or released
  first_start INTEGER NOT NULL, -- times are milliseconds since 1970, on the clock of this database, and 0 for none
  last_start INTEGER NOT NULL,
  ended_at INTEGER NOT NULL, -- completed, released or held
  expires_at INTEGER NOT NULL, -- end of the retention
  lease_until INTEGER NOT NULL, -- means nothing unless running
  owner_until INTEGER NOT NULL, -- the latest time at which the owner may be alive
  retention INTEGER NOT NULL, -- milliseconds that the record is kept once it is settled
  seal INTEGER NOT NULL, -- CRC-32C of key, scheme, fingerprint, method and readable key
  outcome_seal INTEGER NOT NULL, -- CRC-32C of key, state, token and outcome
  checksum INTEGER NOT NULL, -- seal and weighted sum of the other numbers
  format INTEGER NOT NULL, -- of this row
  state INTEGER NOT NULL, -- 1 running, 2 unknown, 3 released, 4 completed
  guarantee INTEGER NOT NULL, -- 1 at most once, 2 at least once, 3 exactly once
  flags INTEGER NOT NULL, -- 1 doubtful, 2 resolved
  scheme INTEGER NOT NULL, -- of the fingerprint
  token BLOB NOT NULL, -- of the owner
  fingerprint BLOB NOT NULL, -- of the request
  method TEXT NOT NULL, -- printable ASCII, all else as %XX
  readable_key TEXT NOT NULL, -- as method
  outcome BLOB NOT NULL -- opaque
) STRICT;

-- The unsettled records, in the order of ListUnknown.
CREATE INDEX IF NOT EXISTS {unsettled} ON {indexed} (id) WHERE state NOT IN (3, 4);

-- The unsettled records for the sweep. Renewals do not change this index.
CREATE INDEX IF NOT EXISTS {lasting} ON {indexed} (owner_until) WHERE state NOT IN (3, 4);

-- The expiring records for the sweep.
CREATE INDEX IF NOT EXISTS {expiring} ON {indexed} (expires_at) WHERE state IN (3, 4);
