package oncegateway

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// A RetryInfo that is out of range is a long one, and not none.
func TestRetryAfterIsNeverShorterThanTheDelayOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		info *durationpb.Duration
		want string
	}{
		"none":                               {nil, "0"},
		"a part of a second":                 {&durationpb.Duration{Nanos: 1}, "1"},
		"2^32 seconds":                       {&durationpb.Duration{Seconds: 1 << 32}, "4294967296"},
		"more than time.Duration has":        {&durationpb.Duration{Seconds: 1 << 36}, "9223372037"},
		"more than google.protobuf.Duration": {&durationpb.Duration{Seconds: 1 << 60}, "9223372037"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := status.New(codes.Unavailable, "").WithDetails(&errdetails.RetryInfo{RetryDelay: c.info})
			if err != nil {
				t.Fatal(err)
			}

			if got := httprules.Seconds(retryDelayOf(st)); got != c.want {
				t.Errorf("Retry-After is %s, want %s", got, c.want)
			}
		})
	}
}
