package onceconnect

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestNamesOfMetadataAreInLowerCase(t *testing.T) {
	names := []string{
		"Idempotency-Key", "X-Retry-Attempt", "Accept-Encoding", "Connect-Protocol-Version", "Content-Length", "Content-Type", "User-Agent",
		"X-Other", "x-lower", "IDEMPOTENCY-KEY",
	}

	for _, name := range names {
		if got, want := metadataName(name), strings.ToLower(name); got != want {
			t.Errorf("the metadata of header %q is %q", name, got)
		}
	}
}

func TestNamesOfHeadersAreCanonical(t *testing.T) {
	names := []string{
		interceptor.StatusTrailer, interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer, interceptor.RetentionTrailer,
		interceptor.PushbackTrailer, "x-other", "x-raw-bin",
	}

	for _, name := range names {
		if got := headerName(name); got != http.CanonicalHeaderKey(name) {
			t.Errorf("the header of metadata %q is %q", name, got)
		}
	}
}

// Two keys are an error of the caller, whichever case their names have.
func TestMetadataHasTheValuesOfAllHeadersOfItsName(t *testing.T) {
	one, two := http.Header{"Idempotency-Key": {"a"}, "idempotency-key": {"b"}}, http.Header{"IDEMPOTENCY-KEY": {"c"}}

	got := metadataOf(one, two)[interceptor.KeyHeader]
	slices.Sort(got)

	if !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the metadata has the keys %q", got)
	}

	if len(one["Idempotency-Key"]) != 1 || one.Get("Idempotency-Key") != "a" {
		t.Errorf("the header of the request is now %q", one)
	}
}

func TestValuesAddedToMetadataDoNotReachTheHeader(t *testing.T) {
	values := []string{"a", "b"}
	header := http.Header{"X-Header": values[:1]}

	md := metadataOf(header)
	_ = append(md["x-header"], "other")

	if values[1] != "b" {
		t.Errorf("the memory behind the header is now %q", values)
	}
}

func TestHeadersDoNotShareTheValuesOfMetadata(t *testing.T) {
	shared := metadata.MD{interceptor.StatusTrailer: {"executed"}}
	header := make(http.Header)

	addTo(header, shared)
	header["Idempotency-Status"][0] = "changed"

	if got := shared[interceptor.StatusTrailer][0]; got != "executed" {
		t.Errorf("the metadata of all calls is now %q", got)
	}
}

// A run goes on when its caller has gone, and connect-go reads the headers of the answer without a lock.
func TestMetadataAfterTheAnswerIsDropped(t *testing.T) {
	var answer callInfo

	stream := transportStream{info: &answer}
	_ = stream.SetTrailer(metadata.Pairs("x-before", "1"))
	stream.close()
	_ = stream.SetTrailer(metadata.Pairs("x-after", "1"))
	_ = stream.SetHeader(metadata.Pairs("x-after", "1"))

	if len(answer.header) != 0 || len(answer.trailer) != 1 || answer.trailer.Get("X-Before") != "1" {
		t.Errorf("the answer has the header %q and the trailer %q", answer.header, answer.trailer)
	}
}

// A proxy may join the values of a header.
func TestBinaryMetadataOfOneHeaderMayHaveSeveralValues(t *testing.T) {
	got := metadataOf(http.Header{"X-Trace-Bin": {"AQ==, Ag", "Aw"}, "X-Text": {"a, b"}})
	if want := (metadata.MD{"x-trace-bin": {"\x01", "\x02", "\x03"}, "x-text": {"a, b"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("the metadata is %q, want %q", got, want)
	}
}
