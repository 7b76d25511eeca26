package redisstore

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// ErrURL is matched by the errors of [Open] for an invalid URL.
var ErrURL = errors.New("redisstore: the URL of the store cannot be read")

// errURL describes an invalid URL. It names the wrong part and shows valid URLs. It contains neither the parser's text nor any part of the
// URL that may contain the password.
func errURL(address string, parse func(string) error) error {
	return fmt.Errorf("%w: %s: write it as in %q, %q or %q", ErrURL, wrongPart(address, parse),
		"redis://user:password@host:6379/0", "redis+cluster://host1:6379?addr=host2:6379",
		"redis+sentinel://host1:26379?addr=host2:26379&master_name=main")
}

// wrongPart finds the wrong part: it tries each part in an otherwise valid URL.
func wrongPart(address string, parse func(string) error) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "it does not begin with a scheme such as redis://"
	}

	if parse(scheme+"://localhost") != nil {
		return "its scheme is unknown"
	}

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
	case strings.Contains(behind, "@") && user == "":
		return "the user or the password has one of the characters / ? #: write them as %2F %3F %23"
	case user != "" && parse(scheme+"://"+user+"localhost") != nil:
		return "the user or the password has a character that must be written as % and two digits, as %25 for %"
	case parse(scheme+"://"+host) != nil:
		return "the host or the port is wrong"
	case parse(scheme+"://localhost"+path) != nil:
		return "the path behind the host is not the number of a database"
	default:
		return wrongOption(query, strings.HasPrefix(scheme, "rediss"), func(option string) error {
			return parse(scheme + "://localhost?" + option)
		})
	}
}

func wrongOption(query string, secure bool, parse func(option string) error) string {
	options := (&url.URL{RawQuery: query}).Query()

	for _, name := range []string{optionCA, optionSkipVerify} {
		if options.Has(name) && !secure {
			return fmt.Sprintf("option %q needs TLS: write rediss in place of redis", name)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(options)) {
		if parse(url.Values{name: options[name]}.Encode()) != nil {
			return fmt.Sprintf("option %q is unknown, or has a wrong value", name)
		}
	}

	return "its parts do not fit together"
}
