package journal

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The earlier call may have run, and Resume sends it. With a new key the effect could happen twice.
func TestErrorOfACallThatWasNotExecutedNamesTheEarlierCallThatIsLeft(t *testing.T) {
	j := open(t, journalPath(t))
	earlier := testEntry(1)
	earlier.Written = time.Now()

	call, err := j.Begin(t.Context(), earlier)
	if err != nil {
		t.Fatal(err)
	}

	end(t, call, errUnknown)

	if err := begin(t, j, 1).End(t.Context(), errNotExecuted); !errors.Is(err, ErrLeft) {
		t.Errorf("End: %v, want ErrLeft", err)
	}

	if j.Left() != 1 {
		t.Errorf("%d calls are left, want the earlier one", j.Left())
	}

	other := testEntry(1)
	other.Request = []byte("another request")

	if call, err = j.Begin(t.Context(), other); err != nil {
		t.Fatal(err)
	}

	end(t, call, errNotExecuted)
	end(t, begin(t, j, 2), errNotExecuted)

	sent := SenderFunc(func(context.Context, Entry) (any, error) {
		if err := begin(t, j, 1).End(testContext, errNotExecuted); !errors.Is(err, ErrLeft) { //nolint:contextcheck // begin has its own
			t.Errorf("End while Resume sends the earlier call: %v, want ErrLeft", err)
		}

		return "an answer", nil
	})
	if summary, err := j.Resume(t.Context(), testTarget, sent); err != nil || summary.Answered != 1 {
		t.Errorf("Resume: %+v, %v", summary, err)
	}

	end(t, begin(t, j, 1), errNotExecuted) // nothing is left

	if len(j.same) > 0 {
		t.Errorf("the journal remembers %v", j.same)
	}
}

// Two targets may be names of the same servers. So a new key is not safe, and an answer of one target does not end a call of the other.
func TestErrorOfACallThatWasNotExecutedNamesTheEarlierCallThatIsLeftForAnotherTarget(t *testing.T) {
	j := open(t, journalPath(t))
	end(t, begin(t, j, 1), errUnknown)

	again := func(ended error) error {
		entry := testEntry(1)
		entry.Target = "dns:///another"

		call, err := j.Begin(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}

		return call.End(t.Context(), ended)
	}

	if err := again(errNotExecuted); !errors.Is(err, ErrLeft) {
		t.Errorf("End: %v, want ErrLeft", err)
	}

	if err := again(nil); err != nil || j.Left() != 1 {
		t.Errorf("End: %v; %d calls are left, want the earlier one", err, j.Left())
	}
}

func TestErrorOfACallThatIsNotWrittenNamesTheEarlierCallThatIsLeft(t *testing.T) {
	j := open(t, journalPath(t), WithMaxEntries(1))
	end(t, begin(t, j, 1), errUnknown)

	if _, err := j.Begin(t.Context(), testEntry(1)); !errors.Is(err, ErrLeft) || !errors.Is(err, ErrFull) {
		t.Errorf("Begin: %v, want ErrLeft and ErrFull", err)
	}

	if _, err := j.Begin(t.Context(), testEntry(2)); errors.Is(err, ErrLeft) || !errors.Is(err, ErrFull) {
		t.Errorf("Begin of another call: %v, want ErrFull", err)
	}
}
