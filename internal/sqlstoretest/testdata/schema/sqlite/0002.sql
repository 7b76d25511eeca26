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

-- What people read: states by their names, times as times, and what is damaged; not the outcome, which is opaque and may be secret.
-- Times are UTC. A time beyond the year 9999 is shown as its end.
CREATE VIEW IF NOT EXISTS "onlyonce_records_readable" AS
SELECT
  lower(hex(id)) AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS alive,
  state IN (3, 4) AND expires_at <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR length(id) <> 32 OR length(token) <> 16 OR length(fingerprint) <> 32
    OR checksum <> seal + 1009 * state + 1013 * guarantee + 1019 * flags + 31 * fence
      + 37 * attempts + 41 * revision + first_start + 2 * last_start + 3 * ended_at
      + 5 * expires_at + 7 * lease_until + 11 * owner_until + 13 * retention
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(first_start, 253402300799999) / 1000.0, 'unixepoch') END AS first_start,
  CASE WHEN last_start > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(last_start, 253402300799999) / 1000.0, 'unixepoch') END AS last_start,
  CASE WHEN lease_until > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(lease_until, 253402300799999) / 1000.0, 'unixepoch') END AS lease_until,
  CASE WHEN owner_until > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(owner_until, 253402300799999) / 1000.0, 'unixepoch') END AS owner_until,
  CASE WHEN ended_at > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(ended_at, 253402300799999) / 1000.0, 'unixepoch') END AS ended_at,
  CASE WHEN expires_at > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', min(expires_at, 253402300799999) / 1000.0, 'unixepoch') END AS expires_at,
  retention / 1000 AS retention_seconds, length(outcome) AS outcome_bytes
FROM "onlyonce_records";

UPDATE "onlyonce_records_schema" SET version = max(version, 2) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 84101208044272, 1795935632519, 0, 1, X'5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935632517, 0, 1, 2, X'b23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935632517, 1795939232517, '/shop.v1.Orders/Create', X'61206e6f7465', 2608684486, 1795942832517, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, X'5bd7e03ac2b18cf6ab97ba43c19de83a');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 78712072236307, 0, 0, 1, X'7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935632520, 0, 1, 2, X'c071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935632520, 1795939232520, '/shop.v1.Orders/Create', X'', 2424646878, 1795942832520, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, X'7a350dad2a9d0dd3e7a22d095f723822');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848791314392, 1795935632521, 4949535632521, 1, X'944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935632520, 0, 1, 2, X'4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935632520, 1795939232520, '/shop.v1.Orders/Create', X'7061696400ff', 3244503230, 1795942832520, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, X'944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848736747996, 1795935632522, 4949535632522, 1, X'a70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935632521, 0, 1, 2, X'2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935632521, 1795939232521, '/shop.v1.Orders/Create', X'', 2075738964, 1795942832521, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, X'a70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848353253129, 1795935632524, 4949535632524, 1, X'fd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935632523, 0, 1, 2, X'd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935632523, 1795939232523, '/shop.v1.Orders/Create', X'', 962150442, 1795942832523, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, X'fd91c3b62458cf4a707d209f8768b43c');
