-- Bounds how long statements of this transaction wait for a lock, and keeps the former bound. Argument: the bound.
SELECT CASE WHEN set_config('onlyonce.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL
  THEN set_config('lock_timeout', $1::text, true) END
