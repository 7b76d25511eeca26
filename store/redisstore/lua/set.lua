-- Set: store the turn or the position of a sweep, also while the server is out of memory. The arguments are those of SET behind the key.
return redis.call('SET', KEYS[1], unpack(ARGV))
