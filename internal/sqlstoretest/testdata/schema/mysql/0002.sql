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

-- What people read: states by their names, times as times, and what is damaged; not the outcome, which is opaque and may be secret.
-- Times are UTC. A time beyond the year 9999 is shown as its end.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW `onlyonce_records_readable` AS
SELECT
  LOWER(HEX(id)) AS id, method, readable_key,
  CASE state WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'UNKNOWN' WHEN 3 THEN 'RELEASED' WHEN 4 THEN 'COMPLETED' END AS state,
  CASE guarantee WHEN 2 THEN 'AT_LEAST_ONCE' WHEN 3 THEN 'EXACTLY_ONCE' ELSE 'AT_MOST_ONCE' END AS guarantee,
  state IN (3, 4) AS settled, -- the other ones are indexed
  state = 1 AND lease_until > TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS alive,
  state IN (3, 4) AND expires_at <= TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS expired,
  format < 1 OR format = 1 AND (
    state NOT BETWEEN 1 AND 4 OR LENGTH(id) <> 32 OR LENGTH(token) <> 16 OR LENGTH(fingerprint) <> 32
    OR CAST(checksum AS DECIMAL(40)) <> CAST(seal AS DECIMAL(40)) + 1009 * CAST(state AS DECIMAL(40)) + 1013 * CAST(guarantee AS DECIMAL(40)) + 1019 * CAST(flags AS DECIMAL(40)) + 31 * CAST(fence AS DECIMAL(40))
      + 37 * CAST(attempts AS DECIMAL(40)) + 41 * CAST(revision AS DECIMAL(40)) + CAST(first_start AS DECIMAL(40)) + 2 * CAST(last_start AS DECIMAL(40)) + 3 * CAST(ended_at AS DECIMAL(40))
      + 5 * CAST(expires_at AS DECIMAL(40)) + 7 * CAST(lease_until AS DECIMAL(40)) + 11 * CAST(owner_until AS DECIMAL(40)) + 13 * CAST(retention AS DECIMAL(40))
  ) AS damaged,
  flags & 1 <> 0 AS doubtful, flags & 2 <> 0 AS resolved, attempts, fence, revision,
  CASE WHEN first_start > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(first_start, 253402300799999) * 1000 MICROSECOND END AS first_start,
  CASE WHEN last_start > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(last_start, 253402300799999) * 1000 MICROSECOND END AS last_start,
  CASE WHEN lease_until > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(lease_until, 253402300799999) * 1000 MICROSECOND END AS lease_until,
  CASE WHEN owner_until > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(owner_until, 253402300799999) * 1000 MICROSECOND END AS owner_until,
  CASE WHEN ended_at > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(ended_at, 253402300799999) * 1000 MICROSECOND END AS ended_at,
  CASE WHEN expires_at > 0 THEN TIMESTAMP '1970-01-01 00:00:00' + INTERVAL LEAST(expires_at, 253402300799999) * 1000 MICROSECOND END AS expires_at,
  retention DIV 1000 AS retention_seconds, LENGTH(outcome) AS outcome_bytes
FROM `onlyonce_records`;

UPDATE `onlyonce_records_schema` SET version = GREATEST(version, 2) WHERE id = 1;

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 78712072464122, 0, 0, 1, X'7a350dad2a9d0dd3e7a22d095f723822393bc24fe52db81b88aa03573377521a', 1795935643368, 0, 1, 2, X'c071cf5f5ed6f884cc70155b6f05f755fd46a302d05e4261b7e92ce878bbfed8', 1795935643368, 1795939243369, '/shop.v1.Orders/Create', X'', 2424646878, 1795942843368, 'running %25%C3%A4%0A', 3153600000000, 2, 3, 519550202, 1, X'7a350dad2a9d0dd3e7a22d095f723822');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848791629071, 1795935643372, 4949535643372, 1, X'944d196124ba4f2ceb838ecc30764e5c2992455693e07f03c5c6b690b2835c6a', 1795935643371, 0, 1, 2, X'4ddb3e96801a1ee2b77dc5247c0db478d5f97a93b90e7cdb09f5f51d43764b08', 1795935643371, 1795939243371, '/shop.v1.Orders/Create', X'7061696400ff', 3244503230, 1795942843371, 'completed %25%C3%A4%0A', 3153600000000, 2, 3, 1753565092, 4, X'944d196124ba4f2ceb838ecc30764e5c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848737062704, 1795935643374, 4949535643374, 1, X'a70a8231e9ebb8f2cfbe3017e4e40441891e368b3a57a035f40fe6cedc4e5b6c', 1795935643373, 0, 1, 2, X'2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 1795935643373, 1795939243373, '/shop.v1.Orders/Create', X'', 2075738964, 1795942843373, 'empty %25%C3%A4%0A', 3153600000000, 2, 3, 1698998667, 4, X'a70a8231e9ebb8f2cfbe3017e4e40441');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 108848353567858, 1795935643376, 4949535643376, 1, X'fd91c3b62458cf4a707d209f8768b43c195ca5fe7320086e4b7e9a2bb57c6642', 1795935643376, 0, 1, 2, X'd29eae1372c396247daf62745d10c3513eb46f9f232b4527e0f5298e5dca5cd0', 1795935643376, 1795939243376, '/shop.v1.Orders/Create', X'', 962150442, 1795942843376, 'released %25%C3%A4%0A', 3153600000000, 2, 3, 1315504751, 3, X'fd91c3b62458cf4a707d209f8768b43c');

INSERT INTO onlyonce_records (attempts, checksum, ended_at, expires_at, fence, fingerprint, first_start, flags, format, guarantee, id, last_start, lease_until, method, outcome, outcome_seal, owner_until, readable_key, retention, revision, scheme, seal, state, token)
VALUES (1, 84101208304933, 1795935643379, 0, 1, X'5bd7e03ac2b18cf6ab97ba43c19de83a87852f3cf87c91f1072182a97cb097c5', 1795935643378, 0, 1, 2, X'b23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc', 1795935643378, 1795939243378, '/shop.v1.Orders/Create', X'61206e6f7465', 2608684486, 1795942843378, 'unknown %25%C3%A4%0A', 3153600000000, 2, 3, 1848459664, 2, X'5bd7e03ac2b18cf6ab97ba43c19de83a');
