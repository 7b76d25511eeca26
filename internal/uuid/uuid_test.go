package uuid_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

const example = "0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42"

func TestNewUUIDsHaveTheirFormAndDiffer(t *testing.T) {
	t.Parallel()

	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[string]bool)

	for range 1_000 {
		for version, id := range map[string]uuid.UUID{"4": uuid.New4(), "7": uuid.New7(time.Now())} {
			text := id.String()
			if match := form.FindStringSubmatch(text); len(match) != 2 || match[1] != version || seen[text] {
				t.Fatalf("%q is no new UUID of version %s", text, version)
			}

			seen[text] = true
		}
	}
}

func TestTimeOfVersion7IsKeptInMilliseconds(t *testing.T) {
	t.Parallel()

	for _, made := range []time.Time{time.UnixMilli(0), time.UnixMilli(1_751_000_000_123), time.UnixMilli(1<<48 - 1)} {
		got, ok := uuid.New7(made).Time()
		if !ok || !got.Equal(made) {
			t.Errorf("made at %v, read as %v, %v", made, got, ok)
		}
	}

	if made, ok := uuid.New4().Time(); ok {
		t.Errorf("a UUID of version 4 was made at %v", made)
	}

	parsed, _ := uuid.Parse(example)

	got, _ := uuid.New4().WithTimeOf(parsed).Time()
	if want, ok := parsed.Time(); !ok || !got.Equal(want) || want.UnixMilli() != 0x0197f2c45b1e {
		t.Errorf("the time is %v, want %v", got, want)
	}
}

func TestParseReadsUUIDsInEitherCaseAndNothingElse(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]bool{
		example: true, strings.ToUpper(example): true, "00000000-0000-0000-0000-000000000000": true,
		"": false, example[1:]: false, example + "0": false, strings.ReplaceAll(example, "-", ""): false,
		"0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f4g": false, "0197f2c4-5b1e-7a33-8f1-02b9c6d0e1f42": false,
		"{197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42}": false, "0197f2c4-5b1e-7a33-8f10--b9c6d0e1f42": false,
	} {
		id, ok := uuid.Parse(text)
		if ok != want || ok && id.String() != strings.ToLower(text) {
			t.Errorf("Parse(%q) = %v, %v", text, id, ok)
		}
	}
}
