-- The short way of a completion: the record is running, and the owner's. Rules 2 and 10 are in complete.lua.
local stored = redis.call('GET', KEYS[1])

if stored and #stored >= 95 and string.byte(stored) == 1 then
  local sum, state, flags, token, fence, attempts, first, last, mark, alive =
    struct.unpack('>I2BBc16I4I4I6I6I6I6', stored, 6)

  local sound = sum == (state * 251 + flags * 257 + fence * 3 + attempts * 7 + first + last * 2 + mark * 3 + alive * 4) % 65521

  if state == 1 and sound and token == string.sub(ARGV[1], 1, 16) then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local life = math.max(struct.unpack('>I6', ARGV[1], 17), 1)

    if flags % 64 >= 32 then -- fresh
      flags = flags - 32
      first = math.max(redis.call('PEXPIRETIME', KEYS[1]) - first, 0)
      last = first
    end

    sum = (1004 + flags * 257 + fence * 3 + attempts * 7 + first + last * 2 + now * 3) % 65521

    local completed = string.sub(stored, 1, 5)
      .. struct.pack('>I2BBc16I4I4I6I6I6', sum, 4, flags, token, fence, attempts, first, last, now)
      .. string.sub(stored, 58)

    redis.call('SET', KEYS[1], completed .. ARGV[2], 'PX', life)

    if KEYS[2] then
      redis.call('ZREM', KEYS[2], string.sub(KEYS[1], #KEYS[2] + 1))
    end

    return struct.pack('>BI6I6', 1, now, now + life) .. completed
  end
end

