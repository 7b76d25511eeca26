//go:build unix

package redistest

import (
	"slices"
	"strings"
)

// Command is a command that a client has sent.
type Command struct {
	Name   string   // in lower case
	Args   []string // without the name
	Server string   // host and port of the server it was meant for
	Fault  Fault    // what has been made of it
}

// Match chooses commands.
type Match = func(Command) bool

// Named chooses commands by name, in any case, and by first argument, which is a key, or the hash of a script, or its text.
func Named(words ...string) Match {
	return func(c Command) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			return strings.EqualFold(c.Name, word) || len(c.Args) > 0 && c.Args[0] == word
		})
	}
}

// Any chooses every command.
func Any() Match { return func(Command) bool { return true } }

// isHousekeeping reports whether a client sends a command by itself, to introduce itself or to learn where the servers are.
// These pass, and count as nothing.
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
