-- The short way of a completion: the record is running, and the owner's. It keeps its retention: a token that is followed by another
-- retention is no owner's here. Rules 2 and 10 are in complete.lua.
local stored = redis.call('GET', KEYS[1])

if stored and #stored >= 101 and string.byte(stored) == 1 then
  local sum, state, flags, token, fence, attempts, first, last, mark, alive, retention =
    struct.unpack('>I2BBc16I4I4I6I6I6I6I6', stored, 6)

  local method, key = struct.unpack('>I2I2', stored, 98)

  if state == 1 and token == ARGV[1] and #stored == 101 + method + key then
    local a, b, c, d = struct.unpack('>I4I4I4I4', token)
    local fixed = a + b * 3 + c * 5 + d * 7 + fence * 3 + attempts * 7 + struct.unpack('>I6', KEYS[1], #KEYS[1] - 5)

    if sum == (251 + flags * 257 + first + last * 2 + mark * 3 + alive * 4 + retention * 5 + fixed) % 65521 then
      local time = redis.call('TIME')
      local now = time[1] * 1000 + math.floor(time[2] / 1000)

      if flags % 64 >= 32 then -- fresh
        flags = flags - 32
        first = math.max(redis.call('PEXPIRETIME', KEYS[1]) - first, 0)
        last = first
      end

      sum = (1004 + flags * 257 + first + last * 2 + now * 3 + fixed) % 65521

      local completed = string.sub(stored, 1, 5)
        .. struct.pack('>I2BBc16I4I4I6I6I6', sum, 4, flags, token, fence, attempts, first, last, now)
        .. string.sub(stored, 64)

      local expires = now + retention -- rule 12
      redis.call('SET', KEYS[1], completed .. ARGV[2], 'PXAT', expires)

      if KEYS[2] then
        redis.call('ZREM', KEYS[2], string.sub(KEYS[1], #KEYS[2] + 1))
      end

      return struct.pack('>BI6I6', 1, now, expires) .. completed
    end
  end
end

