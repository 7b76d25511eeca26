-- Due: the entries of a set whose time came at least an age ago, with their scores, oldest first.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

return redis.call('ZRANGE', KEYS[1], ARGV[1], now - ARGV[3], 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
