package console

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Store is a store that the pages show.
type Store struct {
	// Name is shown, and is part of the page addresses. It must be unique and must not contain a password.
	Name string
	// Engine reads and settles the records.
	Engine *onlyonce.Engine
	// Activity counts the calls of this process. Set it to an observer of the engine that serves the calls. If nil, the picture shows how many
	// records the store had each time it was read.
	Activity *Activity
}

// Options configure a Handler. The zero value makes read-only pages that hide keys, requests and answers.
type Options struct {
	// Title is the heading of the pages. The default is "onlyonce".
	Title string
	// MaySettle reports whether the person behind a request may settle and forget records. Nil means that nobody may. See [Everybody].
	MaySettle func(*http.Request) bool
	// MayReveal reports whether the person behind a request may see keys, requests and answers. Nil means that nobody may.
	MayReveal func(*http.Request) bool
	// By returns the name of the person behind a request. Records keep the name. An empty name is refused. If By is nil, the form has a field
	// for the name.
	By func(*http.Request) string
	// Name is the suggested name in the form if By is nil.
	Name string
	// Transport converts stored requests and answers to text and back. The zero value handles gRPC with the message types linked into the
	// program: see [GRPC].
	Transport Transport
	// Redact changes error texts before the pages show them, for example to remove passwords. Nil changes nothing.
	Redact func(string) string
	// Secret authenticates the forms. Nil means a random one. Give all replicas behind one address the same 32 bytes or more: otherwise a
	// form that one has sent is refused as outdated by the others.
	Secret []byte
	// MaxListed is how many records are read from a store at most, for each of the two lists. The default is 10000.
	MaxListed int
	// Timeout bounds the reading of a store. The default is 10 seconds.
	Timeout time.Duration
}

// Everybody lets everybody who can reach the handler: see Options.MaySettle and Options.MayReveal.
func Everybody(*http.Request) bool { return true }

const (
	defaultMaxListed = 10_000
	defaultTimeout   = 10 * time.Second
	minSecret        = 32
)

// validate reports everything that is wrong with options and stores.
func validate(opts *Options, stores []Store) error {
	var problems []error

	if len(stores) == 0 {
		problems = append(problems, errors.New("console: no store: give New at least one"))
	}

	seen := map[string]bool{}

	for i, s := range stores {
		switch {
		case s.Name == "":
			problems = append(problems, fmt.Errorf("console: store %d has no name: set Store.Name", i+1))
		case seen[s.Name]:
			problems = append(problems, fmt.Errorf("console: two stores have the name %q: names must be unique", s.Name))
		}

		seen[s.Name] = true

		if s.Engine == nil {
			problems = append(problems, fmt.Errorf("console: store %q has no engine: set Store.Engine", s.Name))
		}
	}

	if opts.Secret != nil && len(opts.Secret) < minSecret {
		problems = append(problems, fmt.Errorf("console: the secret has %d bytes: use at least %d random bytes", len(opts.Secret), minSecret))
	}

	if opts.MaxListed < 0 || opts.Timeout < 0 {
		problems = append(problems, errors.New("console: MaxListed and Timeout must not be negative: 0 means the default"))
	}

	return errors.Join(problems...)
}
