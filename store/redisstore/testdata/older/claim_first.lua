-- The short ways of a claim that expects no record. There is none: the claim's own, which its client has made ready, is it. Or
-- there is a completed one: it stays as it is whoever claims it, and the client compares the requests. Numbers stay text where
-- they can, since a script is slow to write them.
local stored

if string.sub(ARGV[1], 17, 20) == '\0\0\0\0' then
  stored = redis.call('SET', KEYS[1], ARGV[2], 'NX', 'GET', 'PX', ARGV[3])

  if not stored then
    if KEYS[2] then
      redis.call('ZADD', KEYS[2], '0', string.sub(KEYS[1], #KEYS[2] + 1))
    end

    return struct.pack('>BI6I6', 1, 0, redis.call('PEXPIRETIME', KEYS[1]))
  elseif string.byte(stored) == 1 and string.byte(stored, 8) == 4 then
    local time = redis.call('TIME')
    local expires = math.max(redis.call('PEXPIRETIME', KEYS[1]), 0)

    return struct.pack('>BI6I6', 0, time[1] * 1000 + math.floor(time[2] / 1000), expires) .. stored
  end
else
  stored = redis.call('GET', KEYS[1])
end

