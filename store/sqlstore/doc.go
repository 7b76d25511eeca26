// Package sqlstore keeps onlyonce records in a table of a SQL database.
package sqlstore
