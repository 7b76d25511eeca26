package console

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Store is a store on the page.
type Store struct {
	// Name is shown, and is part of the addresses of the pages. It must be unique and must not contain a password.
	Name string
	// Engine reads and settles the records.
	Engine *onlyonce.Engine
	// Activity has the calls of this process, if it is an observer of the engine that serves them. If it is nil, the page shows how many
	// records the store had each time it was read.
	Activity *Activity
}

// Options are the settings of a Handler. The zero value shows everything but keys, requests and answers, and changes nothing.
type Options struct {
	// Title is the heading of the pages. The default is "onlyonce".
	Title string
	// MaySettle reports whether the person behind a request may settle and forget records. Nil means that nobody may. See [Everybody].
	MaySettle func(*http.Request) bool
	// MayReveal reports whether the person behind a request may see keys, requests and answers. Nil means that nobody may.
	MayReveal func(*http.Request) bool
	// By returns the name of the person behind a request, which is kept in the records that the person settles. Nil means that the form
	// asks for the name. An empty name is refused.
	By func(*http.Request) string
	// Name is what the form suggests as the name of the person if By is nil.
	Name string
	// Transport translates between the stored form of requests and answers and what people read and write. The zero value means gRPC with
	// the message types that are linked into the program: see [GRPC].
	Transport Transport
	// Redact changes the texts of errors before they are shown, for a program that knows passwords. Nil changes nothing.
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
		problems = append(problems, errors.New("console: New needs a store"))
	}

	seen := map[string]bool{}

	for i, s := range stores {
		switch {
		case s.Name == "":
			problems = append(problems, fmt.Errorf("console: store %d has no name: give it one that people recognise", i+1))
		case seen[s.Name]:
			problems = append(problems, fmt.Errorf("console: two stores have the name %q: give each its own", s.Name))
		}

		seen[s.Name] = true

		if s.Engine == nil {
			problems = append(problems, fmt.Errorf("console: store %q has no engine", s.Name))
		}
	}

	if opts.Secret != nil && len(opts.Secret) < minSecret {
		problems = append(problems, fmt.Errorf("console: the secret has %d bytes: give %d random ones or more", len(opts.Secret), minSecret))
	}

	if opts.MaxListed < 0 || opts.Timeout < 0 {
		problems = append(problems, errors.New("console: MaxListed and Timeout must not be negative: 0 means the default"))
	}

	return errors.Join(problems...)
}
