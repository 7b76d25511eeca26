-- Removes the bound of bound.sql.
SELECT set_config('lock_timeout', current_setting('onlyonce.lock_timeout'), true)
