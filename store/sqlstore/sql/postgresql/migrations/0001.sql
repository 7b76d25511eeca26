-- One row is one record. Each record becomes a dead row after its retention. By default autovacuum waits for dead rows of a fifth of the
-- table, which is too many in a large one. VACUUM does not truncate the table, because that locks it against everybody.
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

-- The unsettled records, in the order of ListUnknown.
CREATE INDEX IF NOT EXISTS {unsettled} ON {indexed} (id) WHERE state NOT IN (3, 4);

-- The unsettled records for the sweep. Renewals do not change this index.
CREATE INDEX IF NOT EXISTS {lasting} ON {indexed} (owner_until) WHERE state NOT IN (3, 4);

-- The expiring records for the sweep. The completion of a single transaction changes no indexed column, so it is a heap-only update.
CREATE INDEX IF NOT EXISTS {expiring} ON {indexed} (sweep_at) WHERE sweep_at > 0;
