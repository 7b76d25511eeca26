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

// metadataRules decide which metadata of handlers is recorded, and which metadata of callers is a part of the request.
type metadataRules struct {
	denied     map[string]bool // never recorded
	unrecorded []string        // the names in denied that come from options
	recorded   map[string]bool // the only metadata that is recorded; nil: all metadata that is not denied
	request    []string        // sorted
	noRequest  bool            // WithRequestMetadata was given without names
}

func newMetadataRules() metadataRules {
	r := metadataRules{denied: make(map[string]bool)}
	for _, name := range deniedMetadata() {
		r.denied[name] = true
	}

	return r
}

// WithUnrecordedMetadata names header and trailer metadata of handlers that belongs to a single call and must not be replayed, such as a
// request id. Further options add names. A name that is invalid for metadata is an error.
//
// These are never recorded: credentials, cookies, dates and trace contexts under their usual names, and names that the contract or gRPC
// itself uses.
func WithUnrecordedMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range names {
			name = strings.ToLower(name)
			c.metadata.denied[name] = true
			c.metadata.unrecorded = append(c.metadata.unrecorded, name)
		}
	}
}

// WithRecordedMetadata records only header and trailer metadata with these names. Without names, no metadata is recorded. Further options
// add names. Without the option, all metadata of handlers is recorded, except the names in WithUnrecordedMetadata. A name that is never
// recorded is an error, and so is a name that WithUnrecordedMetadata also has.
func WithRecordedMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		if c.metadata.recorded == nil {
			c.metadata.recorded = make(map[string]bool)
		}

		for _, name := range names {
			c.metadata.recorded[strings.ToLower(name)] = true
		}
	}
}

// WithRequestMetadata makes incoming metadata a part of the request, on all methods. Use it if metadata decides what a handler does, such
// as the account of a call. The same key with another value is then rejected with IDEMPOTENCY_KEY_REUSED. Further options add names. An
// option without names is an error.
//   - Do not name metadata that differs between the attempts of a call, such as a request id: every retry would be rejected. Names of trace
//     contexts, of the contract and of gRPC itself are errors. Names that end in -bin are allowed.
//   - The option can be added to a running service. Calls without this metadata keep their fingerprints. Calls with this metadata are
//     rejected if their keys were used before the option was added.
func WithRequestMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		r := &c.metadata

		for _, name := range names {
			r.request = append(r.request, strings.ToLower(name))
		}

		slices.Sort(r.request)
		r.request = slices.Compact(r.request)
		r.noRequest = r.noRequest || len(names) == 0
	}
}

// validate reports invalid names.
func (r *metadataRules) validate() error {
	var errs []error

	for _, name := range r.unrecorded {
		if !sendable(name) {
			errs = append(errs, errUnsendable("WithUnrecordedMetadata", name))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(r.recorded)) {
		switch {
		case !sendable(name):
			errs = append(errs, errUnsendable("WithRecordedMetadata", name))
		case reserved(name) || r.denied[name]:
			errs = append(errs, fmt.Errorf("interceptor: WithRecordedMetadata names %s, which is never recorded: it belongs to a single call, "+
				"or WithUnrecordedMetadata also names it: remove it", name))
		}
	}

	if r.noRequest {
		errs = append(errs, errors.New("interceptor: WithRequestMetadata has no names: name metadata, or remove the option"))
	}

	for _, name := range r.request {
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

// storable reports whether metadata of a handler may be replayed.
func (r *metadataRules) storable(name string) bool {
	return sendable(name) && !reserved(name) && !r.denied[name] && (r.recorded == nil || r.recorded[name])
}

// addTo adds the metadata that is a part of the request to the fingerprint of its message: see docs/fingerprint.md.
func (r *metadataRules) addTo(ctx context.Context, message store.Fingerprint) store.Fingerprint {
	var form []byte

	for _, name := range r.request {
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
