-- Reads the settings that Check examines, as pairs of a name and a value.
SHOW VARIABLES WHERE Variable_name IN (
  'version', 'autocommit', 'transaction_isolation', 'tx_isolation', 'read_only', 'super_read_only', 'innodb_read_only',
  'transaction_read_only', 'tx_read_only', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'innodb_doublewrite',
  'binlog_format', 'completion_type', 'innodb_lock_wait_timeout', 'sql_mode', 'character_set_client', 'character_set_connection'
)
