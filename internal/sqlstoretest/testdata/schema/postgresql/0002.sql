-- The version of the schema is one row.
CREATE TABLE IF NOT EXISTS "onlyonce_records_schema" (
  id integer NOT NULL PRIMARY KEY,
  version integer NOT NULL
);

INSERT INTO "onlyonce_records_schema" (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;

-- One row is one record.
CREATE TABLE IF NOT EXISTS "onlyonce_records" (
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
) WITH (fillfactor = 85);

-- What is not settled, in the order of ListUnknown.
CREATE INDEX IF NOT EXISTS "onlyonce_records_unsettled" ON "onlyonce_records" (id) WHERE state NOT IN (3, 4);

-- What the sweeper looks for among it. Renewals do not change it.
CREATE INDEX IF NOT EXISTS "onlyonce_records_lasting" ON "onlyonce_records" (owner_until) WHERE state NOT IN (3, 4);

-- What the sweeper looks for. No index has a column that the completion of a single transaction changes, so that it is a heap-only
-- update.
CREATE INDEX IF NOT EXISTS "onlyonce_records_expiring" ON "onlyonce_records" (sweep_at) WHERE sweep_at > 0;

-- What people read: states by their names, times as times, and what is damaged; not the outcome, which is opaque and may be secret.
-- A time beyond the year 9999 is shown as its end.
CREATE OR REPLACE VIEW "onlyonce_records_readable" AS
SELECT
  encode(id, 'hex') AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) AS alive,
  state IN (3, 4) AND expires_at <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint) AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR octet_length(id) <> 32 OR octet_length(token) <> 16 OR octet_length(fingerprint) <> 32
    OR checksum::numeric <> seal::numeric + 1009 * state::numeric + 1013 * guarantee::numeric + 1019 * flags::numeric + 31 * fence::numeric
      + 37 * attempts::numeric + 41 * revision::numeric + first_start::numeric + 2 * last_start::numeric + 3 * ended_at::numeric
      + 5 * expires_at::numeric + 7 * lease_until::numeric + 11 * owner_until::numeric + 13 * retention::numeric
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN to_timestamp(least(first_start, 253402300799999) / 1000.0) END AS first_start,
  CASE WHEN last_start > 0 THEN to_timestamp(least(last_start, 253402300799999) / 1000.0) END AS last_start,
  CASE WHEN lease_until > 0 THEN to_timestamp(least(lease_until, 253402300799999) / 1000.0) END AS lease_until,
  CASE WHEN owner_until > 0 THEN to_timestamp(least(owner_until, 253402300799999) / 1000.0) END AS owner_until,
  CASE WHEN ended_at > 0 THEN to_timestamp(least(ended_at, 253402300799999) / 1000.0) END AS ended_at,
  CASE WHEN expires_at > 0 THEN to_timestamp(least(expires_at, 253402300799999) / 1000.0) END AS expires_at,
  retention / 1000 AS retention_seconds, octet_length(outcome) AS outcome_bytes
FROM "onlyonce_records";

-- Each record becomes a dead row within its retention. A fifth of a large table, which is the default, would be too many to wait for; and
-- to give the end of the table back to the system, VACUUM would lock it against everybody.
ALTER TABLE "onlyonce_records" SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, vacuum_truncate = false
);

UPDATE "onlyonce_records_schema" SET version = greatest(version, 2) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848791555245, 1795935640827, 4949535640827, 1, '\x944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935640825, 0, 1, 2, '\x4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935640825, 1795939240825, '/shop.v1.Orders/Create', '\x7061696400ff', 3244503230, 1795942840825, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, 4949535640827, '\x944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848736988928, 1795935640830, 4949535640830, 1, '\xa70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935640829, 0, 1, 2, '\x2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935640829, 1795939240829, '/shop.v1.Orders/Create', '\x', 2075738964, 1795942840829, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, 4949535640830, '\xa70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848353494053, 1795935640831, 4949535640831, 1, '\xfd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935640831, 0, 1, 2, '\xd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935640831, 1795939240831, '/shop.v1.Orders/Create', '\x', 962150442, 1795942840831, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, 4949535640831, '\xfd91c3b62458cf4a707d209f8768b43c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 84101208243853, 1795935640834, 0, 1, '\x5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935640833, 0, 1, 2, '\xb23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935640833, 1795939240833, '/shop.v1.Orders/Create', '\x61206e6f7465', 2608684486, 1795942840833, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, 0, '\x5bd7e03ac2b18cf6ab97ba43c19de83a');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 78712072410929, 0, 0, 1, '\x7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935640835, 0, 1, 2, '\xc071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935640835, 1795939240836, '/shop.v1.Orders/Create', '\x', 2424646878, 1795942840835, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, 0, '\x7a350dad2a9d0dd3e7a22d095f723822');
