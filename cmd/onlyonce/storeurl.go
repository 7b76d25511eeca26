package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// storeFlags name a store.
type storeFlags struct {
	url     string
	prefix  string
	table   string
	timeout time.Duration
}

// kind is a kind of store.
type kind uint8

const (
	kindRedis kind = iota + 1
	kindPostgreSQL
	kindMySQL
	kindSQLite
)

// kindOf is the kind of the store that a URL names. Its errors have nothing of what is behind the scheme, which may hold a password.
func kindOf(address string) (kind, error) {
	scheme, rest, found := strings.Cut(address, ":")
	if !found {
		return 0, usagef("the URL of the store has no scheme: give a URL such as redis://localhost:6379 or sqlite:PATH")
	}

	is, ok := map[string]kind{
		"redis": kindRedis, "rediss": kindRedis, "redis+cluster": kindRedis, "rediss+cluster": kindRedis, "redis+sentinel": kindRedis,
		"rediss+sentinel": kindRedis, "postgres": kindPostgreSQL, "postgresql": kindPostgreSQL, "mysql": kindMySQL,
	}[scheme]

	switch {
	case ok && !strings.HasPrefix(rest, "//"):
		// Parsers take such a URL, and connect to this machine.
		return 0, usagef("the URL of the store has no // behind %s:: write it as in %s://user:password@host", scheme, scheme)
	case ok:
		return is, nil
	case scheme == "sqlite":
		return kindSQLite, nil
	case scheme == "memory":
		return 0, usagef("records in memory are in the process that has made them, and no other process can see them: " +
			"use package operate in that process, or a store that processes share")
	default:
		return 0, usagef("there is no store of kind %q: give redis://, rediss://, redis+cluster://, redis+sentinel://, postgres://, "+
			"mysql:// or sqlite:PATH", scheme)
	}
}

// check refuses flags that do not fit the store.
func (f *storeFlags) check(is kind) error {
	switch {
	case f.prefix != "" && is != kindRedis:
		return usagef("--prefix is for Redis: a database has a --table")
	case f.table != "" && is == kindRedis:
		return usagef("--table is for databases: Redis has a --prefix")
	case f.timeout <= 0:
		return usagef("--timeout is %v: give a positive duration", f.timeout)
	default:
		return nil
	}
}

// passwordsOf are the forms in which the password of a URL might be printed.
func passwordsOf(address string) []string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil
	}

	// A URL that cannot be parsed may hold a password all the same, up to the last @.
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return passwordsInQuery(rest)
	}

	_, raw, ok := strings.Cut(rest[:at], ":")
	if !ok || raw == "" {
		return passwordsInQuery(rest)
	}

	found := append([]string{raw}, passwordsInQuery(rest)...)

	if plain, err := url.PathUnescape(raw); err == nil && plain != raw {
		found = append(found, plain)
	}

	return found
}

// passwordsInQuery are those that are options of a URL.
func passwordsInQuery(rest string) (found []string) {
	_, query, _ := strings.Cut(rest, "?")

	values, _ := url.ParseQuery(query) // what can be read
	for name, texts := range values {
		if strings.Contains(strings.ToLower(name), "password") {
			found = append(found, texts...)
		}
	}

	return found
}

// location is a URL without user, password and options.
func location(address string) string {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		return "sqlite:" + path
	}

	parsed, err := url.Parse(address)
	if err != nil {
		return "the store"
	}

	return parsed.Scheme + "://" + parsed.Host + parsed.Path
}

// errURL says which part of the URL of a database cannot be read. The parser's error may hold the password, so it is left out.
func errURL(address, form string, reads func(address string) bool) error {
	return usagef("the URL of the database cannot be read: %s: write it as in %s", wrongPart(address, reads), form)
}

// wrongPart finds the part by trying each one in a URL that is right otherwise.
func wrongPart(address string, reads func(address string) bool) string {
	scheme, rest, _ := strings.Cut(address, "://")

	authority, behind := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, behind = rest[:end], rest[end:]
	}

	user, host := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, host = authority[:at+1], authority[at+1:]
	}

	path, query, _ := strings.Cut(behind, "?")

	switch {
	case rest == "":
		return "nothing is behind its scheme"
	case user == "" && strings.Contains(behind, "@"):
		return "the user or the password has one of the characters / ? #, which are written as %2F %3F %23"
	case !reads(scheme + "://" + user + "localhost/database"):
		return "the user or the password has a character that must be written as % and two digits, as %25 for %"
	case host == "" || !reads(scheme+"://"+host+"/database"):
		return "the host or the port is wrong"
	case len(path) < 2 || !reads(scheme+"://localhost"+path):
		return "the name of the database, behind the host, is missing or wrong"
	case query != "":
		return "the options behind the question mark are wrong"
	default:
		return fmt.Sprintf("the parts of %s:// do not fit together", scheme)
	}
}
