-- Turn: the holder of a turn keeps it for another time in milliseconds, or gives it back if the time is 0. A turn that another process has
-- by now stays as it is.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
elseif ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end

return 1
