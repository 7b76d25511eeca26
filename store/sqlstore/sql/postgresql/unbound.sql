-- Undoes bound.
SELECT set_config('lock_timeout', current_setting('onlyonce.lock_timeout'), true)
