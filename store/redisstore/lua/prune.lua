-- Prune: an entry of the index whose record is not unsettled is removed, if that is so still.
if not record or record.state ~= RUNNING and record.state ~= UNKNOWN then
  redis.call('ZREM', INDEX, string.sub(KEY, #INDEX + 1))
end

return refused(record, stored)
