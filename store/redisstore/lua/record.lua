-- The common part of the scripts on records: the stored form of a record, the clock and the reply. A script is this file followed by the
-- file of its operation. It has one key and packed binary arguments. The stored value was read before.
--
-- Stored form, version 1, big-endian:
--   version 1, seal 4, check 2, state 1, flags 1, token 16, fence 4, attempts 4, first start 6, last start 6,
--   lease end or end 6, [owner alive until 6, retention 6, both unless completed],
--   scheme 2, digest 32, lengths of method and key 2 + 2, method, key, and the outcome up to the end.
-- Times are milliseconds since 1970 on this server's clock, 0 for none. The retention is in milliseconds. The server keeps the expiry of
-- the record. A completed record expires its retention after its end, so it does not contain the retention.
--
-- The client makes the record of a first claim, and no script parses it. Its flags mark it as fresh. A fresh record has its life in the
-- place of the first start: it started that long before its expiry. Lease and owner are durations from the start.
--
-- A client that knows the bytes of the running record also makes the completed record. Its flags mark its end as counted: it ended its
-- retention before its expiry. The retention is in the place of the last start, which equals the first start. The place of the end has
-- a time that the client measured, for builds that do not know this form. Scripts do not change completed records, and ignore all this.
--
-- The seal is a CRC-32C of the key's name and of everything from the scheme up to the outcome, which is constant for the record's life.
-- Only the client makes and verifies it. The check is a sum of everything else and of the end of the key's name. Client and scripts make
-- it. Both detect damage, and a record under the name of another key. The outcome has its own checksum.

local KEY = KEYS[1]
local ABSENT, RUNNING, UNKNOWN, RELEASED, COMPLETED = 0, 1, 2, 3, 4
local FRESH, DOUBTFUL, RESOLVED = 32, 64, 128 -- flags; the guarantee is flags % 4
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

-- decode returns nil for a value that this version cannot read.
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

    -- Without the expiry, the start is unknown.
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

-- refused returns the reply to an operation that changes nothing.
local function refused(r, v)
  return answer(REFUSED, r and redis.call('PEXPIRETIME', KEY) or 0, v or '')
end

-- repeated returns the reply to the copy of an applied operation.
local function repeated(r, v)
  local reply = refused(r, v)

  return string.char(APPLIED) .. string.sub(reply, 2)
end

-- Rule 7: an unsettled record lives for the unknown retention, and never expires with its lease nor while its owner may be alive. PXAT in
-- place of PX, because a script takes time too.
local function keep(r, unknown_retention)
  local v = encode(r) .. r.outcome
  local expires = math.max(after(unknown_retention), r.mark, r.alive)

  redis.call('SET', KEY, v, 'PXAT', expires)

  return answer(APPLIED, expires, v)
end

-- counter raises only the fence, so that a claim which expects the old fence loses.
local function counter(r)
  r.fence = math.min(r.fence + 1, MOST)

  local v = encode(r) .. r.outcome
  redis.call('SET', KEY, v, 'KEEPTTL')

  return refused(r, v)
end

-- settle makes a record completed or released. It expires by its own retention (rule 12). The token stays, so that the owner's repeats
-- are recognised (rule 3). The reply to a completion leaves out the outcome.
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

-- revive renews an ended lease. The fence rises, so that a takeover which expects the old fence loses (rule 3).
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

  -- An unreadable record stays as it is and never counts as absent. The client determines the damage.
  if not record then
    return answer(UNREADABLE, 0, stored)
  end
end
