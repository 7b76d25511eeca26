-- One row is one record. Each record becomes a dead row within its retention: a fifth of a large table, which autovacuum waits for by default,
-- would be too many. To give the end of the table back to the system, VACUUM would lock it against everybody.
CREATE TABLE IF NOT EXISTS {table} (
  id bytea NOT NULL PRIMARY KEY, -- hash of scope, method and key
  revision bigint NOT NULL, -- counts the changes of the row
  fence bigint NOT NULL, -- orders the runs of the key
  attempts bigint NOT NULL, -- runs started since the record was made or released
  first_start bigint NOT NULL, -- times are milliseconds since 1970, on the clock of this database, and 0 for none
  last_start bigint NOT NULL,
  ended_at bigint NOT NULL, -- completed, released or held
  expires_at bigint NOT NULL, -- end of the retention
  lease_until bigint NOT NULL, -- means nothing unless running
  owner_until bigint NOT NULL, -- the latest time at which the owner may be alive
  retention bigint NOT NULL, -- milliseconds that the record is kept once it is settled
  seal bigint NOT NULL, -- CRC-32C of key, scheme, fingerprint, method and readable key
  outcome_seal bigint NOT NULL, -- CRC-32C of key, state, token and outcome
  checksum bigint NOT NULL, -- seal and weighted sum of the other numbers
  format smallint NOT NULL, -- of this row
  state smallint NOT NULL, -- 1 running, 2 unknown, 3 released, 4 completed
  guarantee smallint NOT NULL, -- 1 at most once, 2 at least once, 3 exactly once
  flags smallint NOT NULL, -- 1 doubtful, 2 resolved
  scheme integer NOT NULL, -- of the fingerprint
  token bytea NOT NULL, -- of the owner
  fingerprint bytea NOT NULL, -- of the request
  method text NOT NULL, -- printable ASCII, all else as %XX
  readable_key text NOT NULL, -- as method
  outcome bytea NOT NULL, -- opaque
  sweep_at bigint NOT NULL -- not swept before, and never if 0; part of no checksum
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, vacuum_truncate = false);

-- What is not settled, in the order of ListUnknown.
CREATE INDEX IF NOT EXISTS {unsettled} ON {indexed} (id) WHERE state NOT IN (3, 4);

-- What the sweeper looks for among it. Renewals do not change it.
CREATE INDEX IF NOT EXISTS {lasting} ON {indexed} (owner_until) WHERE state NOT IN (3, 4);

-- What the sweeper looks for. No index has a column that the completion of a single transaction changes, so that it is a heap-only
-- update.
CREATE INDEX IF NOT EXISTS {expiring} ON {indexed} (sweep_at) WHERE sweep_at > 0;
