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

UPDATE "onlyonce_records_schema" SET version = greatest(version, 1) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 78712061045883, 0, 0, 1, '\x7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935099642, 0, 1, 2, '\xc071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935099642, 1795938699644, '/shop.v1.Orders/Create', '\x', 2424646878, 1795942299642, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, 0, '\x7a350dad2a9d0dd3e7a22d095f723822');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848775861257, 1795935099655, 4949535099655, 1, '\x944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935099653, 0, 1, 2, '\x4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935099653, 1795938699653, '/shop.v1.Orders/Create', '\x7061696400ff', 3244503230, 1795942299653, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, 4949535099655, '\x944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848721294932, 1795935099657, 4949535099657, 1, '\xa70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935099657, 0, 1, 2, '\x2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935099657, 1795938699657, '/shop.v1.Orders/Create', '\x', 2075738964, 1795942299657, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, 4949535099657, '\xa70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 108848337800044, 1795935099659, 4949535099659, 1, '\xfd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935099658, 0, 1, 2, '\xd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935099658, 1795938699658, '/shop.v1.Orders/Create', '\x', 962150442, 1795942299658, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, 4949535099659, '\xfd91c3b62458cf4a707d209f8768b43c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, sweep_at, token)
VALUES (1, 84101195255749, 1795935099663, 0, 1, '\x5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935099662, 0, 1, 2, '\xb23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935099662, 1795938699662, '/shop.v1.Orders/Create', '\x61206e6f7465', 2608684486, 1795942299662, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, 0, '\x5bd7e03ac2b18cf6ab97ba43c19de83a');
