package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// storeFlags describe the store.
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

// kindOf returns the kind of store of a URL. Its errors show the scheme only, because the rest may contain a password.
func kindOf(address string) (kind, error) {
	scheme, rest, found := strings.Cut(address, ":")
	if !found {
		return 0, usagef("store URL without a scheme: use a URL such as redis://localhost:6379 or sqlite:PATH")
	}

	is, ok := map[string]kind{
		"redis": kindRedis, "rediss": kindRedis, "redis+cluster": kindRedis, "rediss+cluster": kindRedis, "redis+sentinel": kindRedis,
		"rediss+sentinel": kindRedis, "postgres": kindPostgreSQL, "postgresql": kindPostgreSQL, "mysql": kindMySQL,
	}[scheme]

	switch {
	case ok && !strings.HasPrefix(rest, "//"):
		// Parsers accept such a URL and connect to localhost.
		return 0, usagef("store URL without // after %s: write %s://user:password@host", scheme, scheme)
	case ok:
		return is, nil
	case scheme == "sqlite":
		return kindSQLite, nil
	case scheme == "memory":
		return 0, usagef("another process cannot see records in memory: use package operate inside the server, or a shared store")
	default:
		return 0, usagef("unknown store kind %q: use redis://, rediss://, redis+cluster://, redis+sentinel://, postgres://, mysql:// "+
			"or sqlite:PATH", scheme)
	}
}

// check refuses flags that do not apply to the store.
func (f *storeFlags) check(is kind) error {
	switch {
	case f.prefix != "" && is != kindRedis:
		return usagef("--prefix is for Redis only: for a database, use --table")
	case f.table != "" && is == kindRedis:
		return usagef("--table is for databases only: for Redis, use --prefix")
	case f.timeout <= 0:
		return usagef("--timeout is %v: it must be positive", f.timeout)
	default:
		return nil
	}
}

// passwordsOf returns the spellings of the password in a URL.
func passwordsOf(address string) []string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil
	}

	// An invalid URL may still contain a password, up to the last @.
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

// passwordsInQuery returns the passwords among the options of a URL.
func passwordsInQuery(rest string) (found []string) {
	_, query, _ := strings.Cut(rest, "?")

	values, _ := url.ParseQuery(query) // ignores invalid parts
	for name, texts := range values {
		if strings.Contains(strings.ToLower(name), "password") {
			found = append(found, texts...)
		}
	}

	return found
}

// location returns a URL without user, password and options.
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

// errURL describes the invalid part of a database URL. It hides the error of the parser, which may contain the password.
func errURL(address, form string, reads func(address string) bool) error {
	return usagef("invalid database URL: %s: write it like %s", wrongPart(address, reads), form)
}

// wrongPart finds the invalid part: it tries each part in an otherwise valid URL.
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
		return "nothing follows the scheme"
	case user == "" && strings.Contains(behind, "@"):
		return "the user or the password contains / ? or #: write %2F, %3F or %23"
	case !reads(scheme + "://" + user + "localhost/database"):
		return "the user or the password contains a character that must be escaped, such as %25 for %"
	case host == "" || !reads(scheme+"://"+host+"/database"):
		return "the host or the port is invalid"
	case len(path) < 2 || !reads(scheme+"://localhost"+path):
		return "the database name after the host is missing or invalid"
	case query != "":
		return "the options after the question mark are invalid"
	default:
		return fmt.Sprintf("the parts of %s:// do not fit together", scheme)
	}
}
