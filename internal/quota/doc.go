// Package quota bounds how much of a resource each caller and all callers together may hold, so that one caller cannot use it up.
package quota
