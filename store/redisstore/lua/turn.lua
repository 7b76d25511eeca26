-- Turn: the holder extends its turn by a time in milliseconds, or ends it with 0. The turn of another process does not change.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
elseif ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end

return 1
