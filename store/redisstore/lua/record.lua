-- What the scripts on records share: the stored form of a record, the clock and the reply. A script is this file followed by that of its
-- operation. A script has one key, and its arguments packed in binary. The stored value has been read before.
--
-- Stored form, version 1, big-endian:
--   version 1, seal 4, check 2, state 1, flags 1, token 16, fence 4, attempts 4, first start 6, last start 6,
--   lease end or end 6, [owner alive until 6, retention 6, both unless completed],
--   scheme 2, digest 32, lengths of method and key 2 + 2, method, key, and the outcome up to the end.
-- Times are milliseconds since 1970 on this server's clock, 0 for none. The retention is in milliseconds. The server keeps the
-- time at which a record expires. A completed record expires its retention after its end, so it does not repeat the retention.
--
-- A first claim is written as its client has made it, so that no script takes it apart: its flags mark it as fresh. The
-- first start of a fresh record is the life that it was given: the record started so long before it expires. Lease and owner are
-- spans since that start.
--
-- A completion is written as its client has made it, too, if its client knows the bytes of the running record. Its flags mark its end as
-- counted: it ended its retention before it expires. The place of its last start holds the retention, and its last start is its first one.
-- The place of its end holds a time that its client has measured, for builds that do not know this form. The scripts do not change a
-- completed record, and need none of this.
--
-- The seal is a CRC-32C of the name of the key and of all from the scheme up to the outcome, which stay the same for the record's life.
-- The client makes and checks it. The check is a sum of everything else and of the end of the key's name. Client and scripts make it. Both
-- find damage, and a record that was swapped with that of another key. The outcome has a checksum of its own.

local KEY = KEYS[1]
local ABSENT, RUNNING, UNKNOWN, RELEASED, COMPLETED = 0, 1, 2, 3, 4
local FRESH, DOUBTFUL, RESOLVED = 32, 64, 128 -- flags: the guarantee is what is below 4
local AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE = 1, 2, 3
local LATEST = 281474976710655 -- the last time that six bytes can hold
local MOST = 4294967295 -- the highest fence, and the highest number of attempts
local REFUSED, APPLIED, UNREADABLE = 0, 1, 2

-- Rule 1: this server's clock decides.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function after(span)
  return math.min(now + span, LATEST)
end

-- checksum is a sum of numbers that floating-point arithmetic holds exactly.
local function checksum(r)
  local a, b, c, d = struct.unpack('>I4I4I4I4', r.token)

  return (r.state * 251 + r.flags * 257 + a + b * 3 + c * 5 + d * 7 + r.fence * 3 + r.attempts * 7 + r.first + r.last * 2
    + r.mark * 3 + r.alive * 4 + r.retention * 5 + struct.unpack('>I6', KEY, #KEY - 5)) % 65521
end

-- decode returns nil for what this version cannot read.
local function decode(v)
  if string.byte(v) ~= 1 or #v < (string.byte(v, 8) == COMPLETED and 89 or 101) then
    return nil
  end

  local r, pos, sum = {}, nil, nil
  sum, r.state, r.flags, r.token, r.fence, r.attempts, r.first, r.last, r.mark, pos =
    struct.unpack('>I2BBc16I4I4I6I6I6', v, 6)
  r.alive, r.retention = 0, 0

  if r.state ~= COMPLETED then
    r.alive, r.retention, pos = struct.unpack('>I6I6', v, pos)
  end

  local method, key = struct.unpack('>I2I2', v, pos + 34)
  local outcome = pos + 38 + method + key

  r.seal, r.identity = string.sub(v, 2, 5), string.sub(v, pos, outcome - 1)
  r.outcome = string.sub(v, outcome)

  if outcome > #v + 1 or sum ~= checksum(r) then
    return nil
  end

  if math.floor(r.flags / FRESH) % 2 == 1 then
    local start = redis.call('PEXPIRETIME', KEY) - r.first

    -- Without its expiry, its start is unknown.
    if start < 0 then
      if not heals then
        return nil
      end

      start = 0
    end

    r.flags = r.flags - FRESH
    r.first, r.last, r.mark, r.alive = start, start, math.min(start + r.mark, LATEST), math.min(start + r.alive, LATEST)
  end

  return r
end

local function encode(r)
  local v = '\1' .. r.seal .. struct.pack('>I2BBc16I4I4I6I6I6', checksum(r), r.state, r.flags, r.token, r.fence, r.attempts,
    r.first, r.last, r.mark)

  if r.state ~= COMPLETED then
    v = v .. struct.pack('>I6I6', r.alive, r.retention)
  end

  return v .. r.identity
end

local function answer(verdict, expires, v)
  return struct.pack('>BI6I6', verdict, now, math.max(expires, 0)) .. v
end

-- refused answers an operation that changes nothing, with the record as it is.
local function refused(r, v)
  return answer(REFUSED, r and redis.call('PEXPIRETIME', KEY) or 0, v or '')
end

-- repeated answers the copy of an operation that has been applied.
local function repeated(r, v)
  local reply = refused(r, v)

  return string.char(APPLIED) .. string.sub(reply, 2)
end

-- Rule 7: a record that is not settled expires neither with its lease nor while its owner may be alive. It then lives as long
-- as the store lets it. The time is named, not counted from the write: a script takes time, too.
local function keep(r, unknown_retention)
  local v = encode(r) .. r.outcome
  local expires = math.max(after(unknown_retention), r.mark, r.alive)

  redis.call('SET', KEY, v, 'PXAT', expires)

  return answer(APPLIED, expires, v)
end

-- counter raises the fence and changes nothing else, so that a claim which expects the old one loses.
local function counter(r)
  r.fence = math.min(r.fence + 1, MOST)

  local v = encode(r) .. r.outcome
  redis.call('SET', KEY, v, 'KEEPTTL')

  return refused(r, v)
end

-- settle ends the unsettled life of a record, which expires by its own retention (rule 12). The token stays, so that the
-- owner's repeats are recognised (rule 3). The outcome of a completed record is not sent back to its sender.
local function settle(r, state, outcome)
  local expires = after(r.retention)

  r.state, r.outcome, r.mark = state, outcome, now

  if state == COMPLETED then
    r.alive, r.retention = 0, 0
  end

  local v = encode(r)
  redis.call('SET', KEY, v .. outcome, 'PXAT', expires)

  return answer(APPLIED, expires, state == COMPLETED and v or v .. outcome)
end

-- revive gives an ended lease back to its owner. The fence rises, so that a takeover which expects the old one loses (rule 3).
local function revive(r, lease)
  r.fence = math.min(r.fence + 1, MOST)
  r.mark = after(lease)
end

local function lease_alive(r)
  return r.state == RUNNING and now < r.mark
end

local function has(r, flag)
  return math.floor(r.flags / flag) % 2 == 1
end

local function with(r, flag, on)
  if has(r, flag) == on then
    return r.flags
  end

  return on and r.flags + flag or r.flags - flag
end

local record = nil

if stored then
  record = decode(stored)

  -- An unreadable record stays as it is and never counts as absent. The client finds out what is wrong with it.
  if not record then
    return answer(UNREADABLE, 0, stored)
  end
end
