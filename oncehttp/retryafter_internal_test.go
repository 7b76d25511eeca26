package oncehttp

import (
	"math"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsNeverShorterThanTheDelayOfTheServer(t *testing.T) {
	const (
		longest = time.Duration(math.MaxInt64)
		date    = "Mon, 02 Jan 2006 15:04:05 GMT"
	)

	now, _ := http.ParseTime(date)

	for name, c := range map[string]struct {
		values []string
		date   string // of the answer
		want   time.Duration
		asked  bool
	}{
		"none":                             {nil, "", 0, false},
		"zero":                             {[]string{"0"}, "", 0, true},
		"seconds":                          {[]string{"7"}, "", 7 * time.Second, true},
		"2^32 seconds":                     {[]string{"4294967296"}, "", 1 << 32 * time.Second, true},
		"the longest that fits":            {[]string{"9223372036"}, "", 9223372036 * time.Second, true},
		"one more":                         {[]string{"9223372037"}, "", longest, true},
		"2^63 seconds":                     {[]string{"9223372036854775808"}, "", longest, true},
		"more than 64 bits":                {[]string{"99999999999999999999999"}, "", longest, true},
		"a date":                           {[]string{"Mon, 02 Jan 2006 15:04:15 GMT"}, "", 10 * time.Second, true},
		"a date of RFC 850":                {[]string{"Monday, 02-Jan-06 15:04:15 GMT"}, "", 10 * time.Second, true},
		"a date of asctime":                {[]string{"Mon Jan  2 15:04:15 2006"}, "", 10 * time.Second, true},
		"a date that is over":              {[]string{"Sun, 01 Jan 2006 15:04:05 GMT"}, "", 0, true},
		"a date in eight thousand years":   {[]string{"Fri, 31 Dec 9999 23:59:59 GMT"}, "", longest, true},
		"a date of a server that is late":  {[]string{"Mon, 02 Jan 2006 14:04:15 GMT"}, "Mon, 02 Jan 2006 14:04:05 GMT", 10 * time.Second, true},
		"a date of a server that is early": {[]string{"Mon, 02 Jan 2006 16:04:15 GMT"}, "Mon, 02 Jan 2006 16:04:05 GMT", 10 * time.Second, true},
		"a server that writes RFC 850":     {[]string{"Mon, 02 Jan 2006 14:04:15 GMT"}, "Monday, 02-Jan-06 14:04:05 GMT", 10 * time.Second, true},
		"several":                          {[]string{"1", "99999999999999999999999", "2"}, "", longest, true},
		"one of two is malformed":          {[]string{"soon", "2"}, "", 2 * time.Second, true},
		"malformed":                        {[]string{"soon"}, "", 0, false},
		"negative":                         {[]string{"-1"}, "", 0, false},
		"a fraction":                       {[]string{"1.5"}, "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{retryAfter: c.values}
			if c.date != "" {
				h.Set("Date", c.date)
			}

			if got, asked := retryAfterOf(h, now); got != c.want || asked != c.asked {
				t.Errorf("%v, %v; want %v, %v", got, asked, c.want, c.asked)
			}
		})
	}
}

// An answer without a Date is compared with the clock of the client.
func TestRetryAfterOfAnAnswerWithoutADate(t *testing.T) {
	const date = "Mon, 02 Jan 2006 15:04:05 GMT"

	now, _ := http.ParseTime(date)
	resp := &http.Response{StatusCode: http.StatusConflict, Header: http.Header{retryAfter: {"Mon, 02 Jan 2006 15:04:15 GMT"}}}

	if s := signOf(resp, now); s.after != 10*time.Second || !s.asked {
		t.Errorf("%v, %v; want 10s", s.after, s.asked)
	}
}

// A retention of less than a second is the shortest one, and one that is out of range is none.
func TestRetentionOfAnAnswer(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "0": 1, "1": time.Second, "3600": time.Hour, "9223372036": 9223372036 * time.Second, "9223372037": 0,
		"9223372036854775808": 0,
	} {
		if got := retentionOf(value); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}
