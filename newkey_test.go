package onlyonce_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestNewKeyIsAUUIDOfVersion7ThatEveryRuleAccepts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		seen := make(map[string]bool)

		for range 1_000 {
			key := onlyonce.NewKey()
			if !form.MatchString(key) || seen[key] {
				t.Fatalf("%q is no fresh UUID of version 7", key)
			}

			seen[key] = true

			if err := onlyonce.StrictKeys().Check(key); err != nil {
				t.Fatal(err)
			}

			millis, err := strconv.ParseInt(strings.ReplaceAll(key, "-", "")[:12], 16, 64)
			if err != nil || millis != time.Now().UnixMilli() {
				t.Fatalf("%q begins with the time %d, want %d", key, millis, time.Now().UnixMilli())
			}
		}
	})
}
