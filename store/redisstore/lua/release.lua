-- Release: free the key, or withdraw a claim that may still arrive (rule 4). The retention is only for the tombstone.
local token, fence, guarantee, ambiguous, retention = struct.unpack('>c16I4BBI6', ARGV[1])
local seal, identity = string.sub(ARGV[2], 1, 4), string.sub(ARGV[2], 5)

if not record then
  -- The tombstone refuses the claim when it arrives.
  return settle({
    state = RELEASED, flags = guarantee + ambiguous * DOUBTFUL, token = token, fence = 1, attempts = 0,
    first = 0, last = 0, mark = now, alive = 0, retention = retention, seal = seal, identity = identity, outcome = '',
  }, RELEASED, '')
elseif record.state == COMPLETED then
  return refused(record, stored)
elseif record.token ~= token then
  if record.fence ~= fence then
    return refused(record, stored)
  end

  return counter(record)
elseif record.state == RELEASED then
  return repeated(record, stored)
end

if ambiguous == 1 then
  record.flags = with(record, DOUBTFUL, true)
end

return settle(record, RELEASED, '')
