-- Bounds how long statements of this transaction wait for a lock, and answers what was said before. Argument: the bound.
WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value)
SELECT b.value FROM before AS b WHERE b.value IS NOT NULL AND set_config('lock_timeout', $1, true) IS NOT NULL
