-- Enter: add entries to a set, also while the server is out of memory. The arguments are those of ZADD behind the key.
return redis.call('ZADD', KEYS[1], unpack(ARGV))
