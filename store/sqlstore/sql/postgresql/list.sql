-- A page of the records that are not settled and have no lease any more, in the order of their keys. Argument: the last key
-- of the page before.
SELECT
  floor(date_part('epoch', clock_timestamp()) * 1000)::bigint, json_build_array(
    encode(r.id, 'base64'), r.revision, r.fence, r.attempts,
    r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until, r.owner_until,
    r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
    encode(r.token, 'base64'), encode(r.fingerprint, 'base64'), encode(convert_to(r.method, 'UTF8'), 'base64'),
    encode(convert_to(r.readable_key, 'UTF8'), 'base64'), encode(r.outcome, 'base64')
  )::text
FROM {table} AS r
WHERE r.state NOT IN (3, 4) AND r.id > $1
  AND (r.state <> 1 OR r.lease_until <= (SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint))
ORDER BY r.id LIMIT 100
