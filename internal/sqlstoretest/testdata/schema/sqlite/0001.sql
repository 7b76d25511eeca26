-- The version of the schema is one row.
CREATE TABLE IF NOT EXISTS "onlyonce_records_schema" (
  id INTEGER NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL
);

INSERT INTO "onlyonce_records_schema" (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;

-- One row is one record.
CREATE TABLE IF NOT EXISTS "onlyonce_records" (
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

-- What is not settled, in the order of ListUnknown.
CREATE INDEX IF NOT EXISTS "onlyonce_records_unsettled" ON "onlyonce_records" (id) WHERE state NOT IN (3, 4);

-- What the sweeper looks for among it. Renewals do not change it.
CREATE INDEX IF NOT EXISTS "onlyonce_records_lasting" ON "onlyonce_records" (owner_until) WHERE state NOT IN (3, 4);

-- What the sweeper looks for.
CREATE INDEX IF NOT EXISTS "onlyonce_records_expiring" ON "onlyonce_records" (expires_at) WHERE state IN (3, 4);

UPDATE "onlyonce_records_schema" SET version = max(version, 1) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 84101194890226, 1795935084432, 0, 1, X'5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935084432, 0, 1, 2, X'b23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935084432, 1795938684432, '/shop.v1.Orders/Create', X'61206e6f7465', 2608684486, 1795942284432, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, X'5bd7e03ac2b18cf6ab97ba43c19de83a');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 78712060726466, 0, 0, 1, X'7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935084432, 0, 1, 2, X'c071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935084432, 1795938684433, '/shop.v1.Orders/Create', X'', 2424646878, 1795942284432, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, X'7a350dad2a9d0dd3e7a22d095f723822');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848775419985, 1795935084438, 4949535084438, 1, X'944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935084437, 0, 1, 2, X'4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935084437, 1795938684437, '/shop.v1.Orders/Create', X'7061696400ff', 3244503230, 1795942284437, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, X'944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848720853589, 1795935084439, 4949535084439, 1, X'a70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935084438, 0, 1, 2, X'2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935084438, 1795938684438, '/shop.v1.Orders/Create', X'', 2075738964, 1795942284438, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, X'a70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848337358685, 1795935084439, 4949535084439, 1, X'fd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935084439, 0, 1, 2, X'd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935084439, 1795938684439, '/shop.v1.Orders/Create', X'', 962150442, 1795942284439, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, X'fd91c3b62458cf4a707d209f8768b43c');
