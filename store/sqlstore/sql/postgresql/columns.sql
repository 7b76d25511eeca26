-- The columns of a record r in an answer, except the outcome, which is the last one.
encode(r.id, 'base64'), r.revision, r.fence, r.attempts,
r.first_start, r.last_start, r.ended_at, r.expires_at, r.lease_until, r.owner_until, r.retention,
r.seal, r.outcome_seal, r.checksum, r.format, r.state, r.guarantee, r.flags, r.scheme,
encode(r.token, 'base64'), encode(r.fingerprint, 'base64'), encode(convert_to(r.method, 'UTF8'), 'base64'),
encode(convert_to(r.readable_key, 'UTF8'), 'base64')
