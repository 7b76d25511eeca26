package main

import (
	"fmt"
	"strings"
)

// errURL names the part of a database URL that cannot be read. It leaves out the parser's error, which may contain the password.
func errURL(address, form string, reads func(address string) bool) error {
	return fmt.Errorf("the URL of the database cannot be read: %s: write it as in %s", wrongPart(address, reads), form)
}

// wrongPart finds the part: it tries each one in a URL that is otherwise correct.
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
		return "its parts do not fit together"
	}
}
