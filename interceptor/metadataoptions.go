package interceptor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithUnrecordedMetadata names header and trailer metadata of handlers that belongs to a single call and must not be replayed, such as a
// request id. These are never recorded: credentials, cookies, dates and trace contexts under their usual names, and names that the
// contract or gRPC itself uses. A name that is invalid for metadata is an error.
func WithUnrecordedMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range names {
			name = strings.ToLower(name)
			c.denied[name] = true
			c.unrecorded = append(c.unrecorded, name)
		}
	}
}

// WithRecordedMetadata records only header and trailer metadata with these names, and no metadata if there are no names. Further options
// add names. Without the option, all metadata of handlers is recorded, except the names in WithUnrecordedMetadata. A name that is never
// recorded is an error, and so is a name that WithUnrecordedMetadata also has.
func WithRecordedMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		if c.recorded == nil {
			c.recorded = make(map[string]bool)
		}

		for _, name := range names {
			c.recorded[strings.ToLower(name)] = true
		}
	}
}

// WithRequestMetadata makes incoming metadata a part of the request, on all methods. Use it if metadata decides what a handler does, such
// as the account of a call. The same key with another value is then rejected with IDEMPOTENCY_KEY_REUSED. Further options add names. Names
// that end in -bin are allowed.
//
//   - Do not name metadata that differs between the attempts of a call, such as a request id: every retry would be rejected. Names of trace
//     contexts, of the contract and of gRPC itself are errors.
//   - The option can be added to a running service. Calls without this metadata keep their fingerprints. Calls with this metadata are
//     rejected if their keys were used before the option was added.
func WithRequestMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range names {
			c.requestMetadata = append(c.requestMetadata, strings.ToLower(name))
		}

		slices.Sort(c.requestMetadata)
		c.requestMetadata = slices.Compact(c.requestMetadata)
		c.noRequestMetadata = c.noRequestMetadata || len(names) == 0
	}
}

// validateMetadata reports invalid names of metadata.
func (c *serverConfig) validateMetadata() error {
	var errs []error

	for _, name := range c.unrecorded {
		if !sendable(name) {
			errs = append(errs, errUnsendable("WithUnrecordedMetadata", name))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.recorded)) {
		switch {
		case !sendable(name):
			errs = append(errs, errUnsendable("WithRecordedMetadata", name))
		case reserved(name) || c.denied[name]:
			errs = append(errs, fmt.Errorf("interceptor: WithRecordedMetadata names %s, which is never recorded: it belongs to a single call, "+
				"or WithUnrecordedMetadata also names it: remove it", name))
		}
	}

	if c.noRequestMetadata {
		errs = append(errs, errors.New("interceptor: WithRequestMetadata has no names: name metadata, or remove the option"))
	}

	for _, name := range c.requestMetadata {
		switch {
		case !sendable(name):
			errs = append(errs, errUnsendable("WithRequestMetadata", name))
		case reserved(name) || name == AttemptHeader || name == "traceparent" || name == "tracestate":
			errs = append(errs, fmt.Errorf("interceptor: WithRequestMetadata names %s, which may differ between the attempts of a call, so that "+
				"retries would be rejected: remove it", name))
		}
	}

	return errors.Join(errs...)
}

func errUnsendable(option, name string) error {
	return fmt.Errorf("interceptor: %s has the name %q, which is invalid for metadata: use a-z, 0-9, hyphens, underscores and full stops",
		option, name)
}

// withMetadata adds the metadata that is a part of the request to the fingerprint of its message. See docs/fingerprint.md.
func (c *serverConfig) withMetadata(ctx context.Context, message store.Fingerprint) store.Fingerprint {
	var form []byte

	for _, name := range c.requestMetadata {
		values := metadata.ValueFromIncomingContext(ctx, name)
		if len(values) == 0 {
			continue
		}

		if form == nil {
			form = append(form, message.Sum[:]...)
		}

		form = protowire.AppendString(form, name)
		form = protowire.AppendVarint(form, uint64(len(values)))

		for _, value := range values {
			form = protowire.AppendString(form, value)
		}
	}

	if form != nil {
		message.Sum = sha256.Sum256(form)
	}

	return message
}
