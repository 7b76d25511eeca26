//go:build unix

package redistest

import (
	"slices"
	"strings"
)

// Command is a command from a client.
type Command struct {
	Name   string   // in lower case
	Args   []string // without the name
	Server string   // address of the intended server
	Fault  Fault    // the fault that it got
}

// Match selects commands.
type Match = func(Command) bool

// Named selects commands by name, ignoring case, and by first argument: a key, or a script or its hash.
func Named(words ...string) Match {
	return func(c Command) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			return strings.EqualFold(c.Name, word) || len(c.Args) > 0 && c.Args[0] == word
		})
	}
}

// Any selects every command.
func Any() Match { return func(Command) bool { return true } }

// isHousekeeping reports whether a client sends the command by itself, to introduce itself or to find the servers. Such
// commands pass, and do not count.
func (c Command) isHousekeeping() bool {
	switch c.Name {
	case "hello", "auth", "select", "client", "readonly", "readwrite", "command", "cluster", "sentinel":
		return true
	default:
		return false
	}
}

// confirmations returns how many messages confirm a subscription.
func (c Command) confirmations() int { return max(1, len(c.Args)) }

func isSubscription(word string) bool {
	return strings.HasSuffix(word, "subscribe") // un-, p-, s-, and all combinations
}
