-- A claim that expects no record contains the record that its client has made.
local heals, stored = false

if string.sub(ARGV[1], 17, 20) == '\0\0\0\0' then
  stored = redis.call('SET', KEYS[1], ARGV[2], 'NX', 'GET', 'PX', ARGV[3])

  if not stored then
    return struct.pack('>BI6I6', 1, 0, redis.call('PEXPIRETIME', KEYS[1]))
  end
else
  stored = redis.call('GET', KEYS[1])
end

