-- Reads the settings that Check examines, as pairs of a name and a value.
SELECT 'version', sqlite_version()
UNION ALL SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous', synchronous FROM pragma_synchronous
UNION ALL SELECT 'busy_timeout', timeout FROM pragma_busy_timeout
UNION ALL SELECT 'query_only', query_only FROM pragma_query_only
UNION ALL SELECT 'file', file FROM pragma_database_list WHERE name = 'main'
