-- The short ways of a claim that expects no record. There is none: the claim's own, which its client has made ready, is it. Or
-- there is a completed one: it stays as it is whoever claims it, and the client compares the requests.
local fence, _, lease, _, _, _, unsettled = struct.unpack('>I4BI6I6I4I6I6', ARGV[1], 17)
local stored

if fence == 0 then
  stored = redis.call('SET', KEYS[1], ARGV[2], 'NX', 'GET', 'PX', unsettled)

  if not stored then
    local expires = redis.call('PEXPIRETIME', KEYS[1])

    if KEYS[2] then
      redis.call('ZADD', KEYS[2], expires - unsettled + lease, string.sub(KEYS[1], #KEYS[2] + 1))
    end

    return struct.pack('>BI6I6', 1, expires - unsettled, expires)
  elseif string.byte(stored) == 1 and string.byte(stored, 8) == 4 then
    local time = redis.call('TIME')
    local expires = math.max(redis.call('PEXPIRETIME', KEYS[1]), 0)

    return struct.pack('>BI6I6', 0, time[1] * 1000 + math.floor(time[2] / 1000), expires) .. stored
  end
else
  stored = redis.call('GET', KEYS[1])
end

