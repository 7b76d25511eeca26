-- Tells whoever waits elsewhere that a record does not run any more. Arguments: channel, key in hexadecimal.
SELECT pg_notify($1, $2)
