-- The version of the schema is one row.
CREATE TABLE IF NOT EXISTS `onlyonce_records_schema` (
  id INT NOT NULL PRIMARY KEY,
  version INT NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO `onlyonce_records_schema` (id, version) VALUES (1, 0);

-- One row is one record.
CREATE TABLE IF NOT EXISTS `onlyonce_records` (
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
  INDEX `onlyonce_records_expiring` (state, expires_at, owner_until) -- for what is not settled as well
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

UPDATE `onlyonce_records_schema` SET version = GREATEST(version, 1) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 78712061064818, 0, 0, 1, X'7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935100544, 0, 1, 2, X'c071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935100544, 1795938700545, '/shop.v1.Orders/Create', X'', 2424646878, 1795942300544, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, X'7a350dad2a9d0dd3e7a22d095f723822');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848775887320, 1795935100553, 4949535100553, 1, X'944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935100552, 0, 1, 2, X'4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935100552, 1795938700552, '/shop.v1.Orders/Create', X'7061696400ff', 3244503230, 1795942300552, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, X'944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848721320982, 1795935100556, 4949535100556, 1, X'a70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935100555, 0, 1, 2, X'2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935100555, 1795938700555, '/shop.v1.Orders/Create', X'', 2075738964, 1795942300555, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, X'a70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848337826115, 1795935100558, 4949535100558, 1, X'fd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935100557, 0, 1, 2, X'd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935100557, 1795938700557, '/shop.v1.Orders/Create', X'', 962150442, 1795942300557, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, X'fd91c3b62458cf4a707d209f8768b43c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 84101195277301, 1795935100561, 0, 1, X'5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935100560, 0, 1, 2, X'b23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935100560, 1795938700560, '/shop.v1.Orders/Create', X'61206e6f7465', 2608684486, 1795942300560, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, X'5bd7e03ac2b18cf6ab97ba43c19de83a');
