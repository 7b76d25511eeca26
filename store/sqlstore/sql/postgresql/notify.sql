-- Notifies other processes that a record has stopped running. Arguments: the channel, the key in hexadecimal.
SELECT pg_notify($1, $2)
