-- Removes the bound of lock_wait.
SET SESSION innodb_lock_wait_timeout = @onlyonce_lock_wait
