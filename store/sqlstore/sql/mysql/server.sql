-- Reads whether the server is MariaDB, and how long its sessions wait for a lock, in seconds.
SELECT VERSION() LIKE '%MariaDB%', CAST(@@innodb_lock_wait_timeout AS SIGNED)
