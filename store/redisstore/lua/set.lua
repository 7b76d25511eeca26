-- Set: a sweep sets its turn or its position, also while the server is out of memory. The arguments are those of SET behind the key.
return redis.call('SET', KEYS[1], unpack(ARGV))
