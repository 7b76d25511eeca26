-- Whether the server is MariaDB.
SELECT VERSION() LIKE '%MariaDB%'
