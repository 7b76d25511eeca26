// Package quota bounds what all callers together and what each caller alone may hold of a resource, so that one caller cannot use it up.
package quota
