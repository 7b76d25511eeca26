// Package headerkey takes the keys of HTTP headers into the metadata of gRPC. In a header, "abc" and abc are the same key: see
// [httprules.ParseKey]. In metadata, quotes are a part of the key.
package headerkey

import (
	"slices"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// Parse returns the key in a header. It refuses a key that is invalid under all rules.
func Parse(value string) (string, error) {
	key, err := httprules.ParseKey(value)
	if err != nil {
		return "", err
	}

	return key, onlyonce.KeyRules{}.Check(key)
}

// Metadata returns values of metadata for the values of headers. A value that Parse refuses becomes a key that the server rejects: a key
// with spaces is never valid. [Explain] then tells the caller the reason.
func Metadata(values []string) []string {
	keys := values

	for i, value := range values {
		key, err := Parse(value)
		if err != nil {
			key = refused + strconv.QuoteToASCII(value[:min(len(value), mostRefused)])
		}

		if key == value {
			continue
		}

		if &keys[0] == &values[0] {
			keys = slices.Clone(values)
		}

		keys[i] = key
	}

	return keys
}

// refused is the prefix of a key that Parse has refused.
const refused = "not a valid key: "

// mostRefused is how much of such a key is passed on, in bytes. Servers have limits for metadata.
const mostRefused = 64

// Explain returns a status with the reason why the one value of a header is no key. It changes nothing but the rejection of an invalid key.
func Explain(st *status.Status, values []string) *status.Status {
	if len(values) != 1 {
		return st
	}

	_, err := Parse(values[0])
	if err == nil {
		return st
	}

	changed := st.Proto()

	for _, packed := range changed.GetDetails() {
		bad := new(errdetails.BadRequest)
		if packed.UnmarshalTo(bad) != nil {
			continue
		}

		for _, violation := range bad.GetFieldViolations() {
			if violation.GetReason() == string(onlyonce.ReasonKeyInvalid) {
				changed.Message, violation.Description = err.Error(), err.Error()
			}
		}

		_ = packed.MarshalFrom(bad) // it has been read from there
	}

	return status.FromProto(changed)
}
