-- Forget: remove a record if it still has the bytes that the client read. The client decides, because only the client can check the seal.
-- No bytes stand for a value that is not a string.
local time = redis.call('TIME')
local found = redis.pcall('GET', KEYS[1])

if found == ARGV[1] or type(found) == 'table' and ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
  found = false
end

return struct.pack('>BI6I6', found and 0 or 1, time[1] * 1000 + math.floor(time[2] / 1000), 0)
