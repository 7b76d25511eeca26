-- Swap: replace a record if it still has the bytes that its owner knows.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])

  return redis.call('PEXPIRETIME', KEYS[1])
end

return 0
