package interceptor

import (
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A delay that is out of range is a long one, and not none.
func TestRetryDelayIsNeverShorterThanTheDelayOfTheServer(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)

	for name, c := range map[string]struct {
		info     *durationpb.Duration
		pushback string
		want     time.Duration
		asked    bool
		stop     bool
	}{
		"none":                               {nil, "", 0, false, false},
		"seconds":                            {&durationpb.Duration{Seconds: 7}, "", 7 * time.Second, true, false},
		"2^32 seconds":                       {&durationpb.Duration{Seconds: 1 << 32}, "", 1 << 32 * time.Second, true, false},
		"more than time.Duration has":        {&durationpb.Duration{Seconds: 1 << 36}, "", longest, true, false},
		"more than google.protobuf.Duration": {&durationpb.Duration{Seconds: 1 << 60}, "", longest, true, false},
		"all seconds":                        {&durationpb.Duration{Seconds: math.MaxInt64, Nanos: 999_999_999}, "", longest, true, false},
		"negative":                           {&durationpb.Duration{Seconds: -1}, "", 0, true, false},
		"pushback":                           {nil, "7000", 7 * time.Second, true, false},
		"a pushback of 2^31 is too long":     {nil, "2147483648", 0, true, true},
		"a pushback of more than 64 bits":    {&durationpb.Duration{Seconds: 1}, "99999999999999999999999", 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			st := status.New(codes.Unavailable, "")
			if c.info != nil {
				st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: c.info})
			}

			md := metadata.MD{}
			if c.pushback != "" {
				md.Set(PushbackTrailer, c.pushback)
			}

			if got, asked, stop := retryDelay(st, md); got != c.want || asked != c.asked || stop != c.stop {
				t.Errorf("%v, %v, %v; want %v, %v, %v", got, asked, stop, c.want, c.asked, c.stop)
			}
		})
	}
}
