-- Bounds how long the statements of a MySQL session wait for a lock, and keeps the former bound. The bound is a number in the text.
SET @onlyonce_lock_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = {seconds}
